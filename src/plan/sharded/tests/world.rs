//! A small schema and its placement, by hand.

use crate::catalog::schema::*;
use crate::topology::placement::{Placement, TablePlace};
use crate::value::key::KeyType;

pub struct World {
    pub schema: Schema,
    pub placement: Placement,
}

/// Columns as `name type`.
fn relation(schema: &mut Schema, name: &str, columns: &str, kind: RelationKind, definition: Option<&str>) {
    let text = Collation {
        name: "\"default\"".into(),
        provider: Provider::Bytes,
        locale: "C".into(),
        deterministic: true,
        version: None,
    };
    let columns = columns
        .split(", ")
        .map(|column| {
            let (name, kind) = column.split_once(' ').unwrap();
            let (oid, collation) = match kind {
                "int4" => (23, None),
                "int8" => (20, None),
                "text" => (25, Some(text.clone())),
                "c" => (25, Some(Collation { name: "pg_catalog.\"C\"".into(), ..text.clone() })),
                "numeric" => (1700, None),
                "float8" => (701, None),
                "timestamptz" => (1184, None),
                "date" => (1082, None),
                "interval" => (1186, None),
                "bool" => (16, None),
                other => panic!("{other}"),
            };
            Column {
                name: name.into(),
                type_oid: oid,
                typmod: -1,
                type_name: if kind == "c" { "text".into() } else { kind.into() },
                not_null: false,
                collation,
                default: None,
                identity: false,
                generated: false,
            }
        })
        .collect();
    let relation = Relation {
        schema: "public".into(),
        name: name.into(),
        kind,
        columns,
        guards: Vec::new(),
        inherited_guards: Vec::new(),
        primary_key: Some(vec![0]),
        foreign_keys: vec![],
        parent: None,
        definition: definition.map(str::to_string),
        row_security: false,
        code: Vec::new(),
        transitions: false,
        also: Vec::new(),
        rules: false,
        policies_read: Vec::new(),
        triggers: false,
    };
    schema.relations.insert(("public".into(), name.into()), relation);
}

pub fn world() -> World {
    let mut schema = Schema::default();
    schema.collation.name = "\"default\"".into();
    schema.collation.deterministic = true;
    schema.version = 150000;
    let table = RelationKind::Table;
    relation(&mut schema, "customers", "id int8, name text, email c, country text, joined date", table, None);
    relation(
        &mut schema,
        "orders",
        "id int8, customer_id int8, status text, total numeric, qty int4, weight float8, ordered_at timestamptz, paid bool",
        table,
        None,
    );
    relation(&mut schema, "order_items", "order_id int8, customer_id int8, product_id int8, n int4", table, None);
    relation(&mut schema, "events", "id int8, device int8, at timestamptz", table, None);
    relation(&mut schema, "countries", "code text, name text", table, None);
    relation(&mut schema, "notes", "id int8, body text, customer_id int8", table, None);
    let view = RelationKind::View;
    relation(
        &mut schema,
        "paid_orders",
        "id int8, customer_id int8, total numeric",
        view,
        Some(" SELECT orders.id, orders.customer_id, orders.total FROM public.orders WHERE orders.paid;"),
    );
    relation(
        &mut schema,
        "totals",
        "status text, total numeric",
        view,
        Some("SELECT orders.status, sum(orders.total) AS total FROM public.orders GROUP BY orders.status;"),
    );
    defaults(&mut schema);
    functions(&mut schema);
    let hash =
        |key: &str, group: &str| TablePlace::Hash { key: key.into(), key_type: KeyType::Int8, group: group.into() };
    let mut placement = Placement {
        shards: vec!["s1".into(), "s2".into(), "s3".into()],
        home: 0,
        tables: Default::default(),
        epoch: 1,
        buckets: (0..4096).map(|bucket| (bucket % 3) as u16).collect(),
    };
    for (name, place) in [
        ("customers", hash("id", "customers")),
        ("orders", hash("customer_id", "customers")),
        ("order_items", hash("customer_id", "customers")),
        ("events", hash("device", "events")),
        ("countries", TablePlace::Reference),
    ] {
        placement.tables.insert(("public".into(), name.into()), place);
    }
    World { schema, placement }
}

/// Events are numbered by a sequence and take the clock.
fn defaults(schema: &mut Schema) {
    let Some(events) = schema.relations.get_mut(&("public".into(), "events".into())) else { return };
    for column in &mut events.columns {
        column.default = match column.name.as_str() {
            "id" => Some("nextval('events_id_seq'::regclass)".into()),
            "at" => Some("now()".into()),
            _ => None,
        };
    }
}

fn functions(schema: &mut Schema) {
    for (names, kind, volatility, builtin) in [
        (
            "count sum avg min max string_agg array_agg bool_and bool_or every stddev variance var_pop bit_and json_agg percentile_cont mode",
            FunctionKind::Aggregate,
            Volatility::Immutable,
            true,
        ),
        ("row_number rank lag", FunctionKind::Window, Volatility::Immutable, true),
        (
            "lower upper round length abs generate_series substring row_to_json json_each",
            FunctionKind::Function,
            Volatility::Immutable,
            true,
        ),
        ("now statement_timestamp to_char date_trunc pg_table_size", FunctionKind::Function, Volatility::Stable, true),
        (
            "random nextval pg_sleep clock_timestamp pg_advisory_lock",
            FunctionKind::Function,
            Volatility::Volatile,
            true,
        ),
        ("price_of own_volatile", FunctionKind::Function, Volatility::Volatile, false),
        ("own_immutable", FunctionKind::Function, Volatility::Immutable, false),
    ] {
        for name in names.split(' ') {
            schema.functions.entry(name.to_string()).or_default().push(Function {
                schema: if builtin { "pg_catalog" } else { "public" }.into(),
                name: name.to_string(),
                kind,
                volatility,
                strict: true,
                builtin,
                arguments: vec![],
                returns: 0,
                set: false,
                body: None,
                ordered_set: matches!(name, "mode" | "percentile_cont"),
            });
        }
    }
}
