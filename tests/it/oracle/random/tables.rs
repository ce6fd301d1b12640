//! What random statements know of the oracle's tables.

use Kind::*;

/// Types, as far as the grammar tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Int,
    /// Integers too great for arithmetic.
    Big,
    Num,
    Float,
    Text,
    /// Text under a collation that isn't the database's own.
    Collated,
    Char,
    Bool,
    Date,
    Stamp,
    /// Times without zone, and dates, some of them infinite.
    Local,
    Far,
    Span,
    Uuid,
    Mood,
    Json,
    Texts,
    Bytes,
    Bits,
    Moods,
    /// Text under a collation that folds case.
    Folded,
}

pub const KINDS: &[Kind] = &[Int, Num, Text, Bool, Date, Stamp, Float, Uuid, Mood, Json];

impl Kind {
    /// Constants of the kind.
    pub fn literals(self) -> &'static [&'static str] {
        match self {
            Int => &["0", "1", "2", "3", "5", "7", "12", "40", "-1", "48", "NULL::int"],
            Big => &["0", "4611686018427387950", "-7"],
            Num => &["0.0", "1.5", "10.25", "50", "99.99", "-3.10", "NULL::numeric"],
            Float => &["0.37", "2.5::float8", "10::float8"],
            Text => &["'new'", "'paid'", "'Ada'", "'zoe'", "'DE'", "'a'", "''", "'l1'", "'device 3'", "NULL::text"],
            Collated => &["'a1'", "'b'", "'Zebra'", "'coop'", "'öl'"],
            Char => &["'c1'", "'c3   '"],
            Bool => &["true", "false", "NULL::boolean"],
            Date => &["date '2000-01-01'", "date '1996-02-01'", "date '2011-11-11'"],
            Stamp => &["timestamptz '2024-01-05 00:00+00'", "timestamptz '2024-02-28 18:00+00'"],
            Local => &["timestamp '2024-01-01 04:00'", "timestamp 'infinity'"],
            Far => &["date 'infinity'", "date '1980-01-01'"],
            Span => &["interval '1 day'", "interval '1 month'"],
            Uuid => &[
                "'1f15485f-4b8a-bb91-e4cc-16e720e02c1e'::uuid",
                "'280ceb2f-4794-2aeb-489e-16be0076db48'::uuid",
                "'06ef389d-b0e8-b3e2-c01e-bdc4e812b2f7'::uuid",
            ],
            Mood => &["'ok'::mood", "'angry'::mood", "'happy'::mood"],
            Json => &["'{\"n\": 1, \"g\": 1}'::jsonb", "'{\"a\": 1, \"b\": [1, 2]}'::jsonb"],
            Texts => &["'{}'::text[]", "ARRAY['t1', NULL, 'x,\"y']"],
            Bytes => &["'\\x001eef'::bytea"],
            Bits => &["B'0101'"],
            Folded => &["'ada'", "'BEA'"],
            Moods => &["'{ok}'::mood[]"],
        }
    }

    /// Whether min and max take it.
    pub fn extreme(self) -> bool {
        !matches!(self, Bool | Uuid | Json | Bytes | Bits | Moods | Folded)
    }

    /// What it is called in the kind of a node.
    pub fn name(self) -> String {
        format!("{self:?}")
    }
}

/// A column of a table: name, kind, whether equal values always look alike.
pub type Column = (&'static str, Kind, bool);

pub struct Table {
    pub name: &'static str,
    pub columns: &'static [Column],
    /// The sharding key's column.
    pub key: Option<usize>,
    /// Columns that together are unique; none: unknown.
    pub unique: &'static [&'static str],
    /// A base table, which can be locked.
    pub base: bool,
    pub weight: usize,
}

pub const TABLES: &[Table] = &[
    Table {
        name: "customers",
        columns: &[
            ("id", Int, true),
            ("name", Text, true),
            ("email", Collated, true),
            ("city", Collated, true),
            ("nick", Collated, true),
            ("country", Text, true),
            ("vip", Bool, true),
            ("mood", Mood, true),
            ("born", Far, true),
            ("joined", Stamp, true),
            ("credit", Num, true),
            ("score", Float, false),
            ("tags", Texts, true),
            ("profile", Json, true),
            ("code", Char, true),
            ("photo", Bytes, true),
            ("seen", Local, true),
            ("moods", Moods, true),
            ("handle", Folded, false),
        ],
        key: Some(0),
        unique: &["id"],
        base: true,
        weight: 20,
    },
    Table {
        name: "orders",
        columns: &[
            ("id", Int, true),
            ("customer_id", Int, true),
            ("status", Text, true),
            ("total", Num, true),
            ("discount", Num, false),
            ("weight", Float, true),
            ("weight4", Float, true),
            ("quantity", Int, true),
            ("big", Big, true),
            ("small", Int, true),
            ("ordered_at", Stamp, true),
            ("due", Date, true),
            ("took", Span, false),
            ("paid", Bool, true),
            ("note", Text, true),
            ("label", Text, true),
        ],
        key: Some(1),
        unique: &["customer_id", "id"],
        base: true,
        weight: 30,
    },
    Table {
        name: "items",
        columns: &[
            ("order_id", Int, true),
            ("customer_id", Int, true),
            ("line", Int, true),
            ("product_id", Int, true),
            ("quantity", Int, true),
            ("price", Num, true),
        ],
        key: Some(1),
        unique: &["customer_id", "order_id", "line"],
        base: true,
        weight: 20,
    },
    Table {
        name: "events",
        columns: &[
            ("id", Uuid, true),
            ("kind", Text, true),
            ("customer_id", Int, true),
            ("at", Stamp, true),
            ("level", Int, true),
            ("payload", Json, true),
        ],
        key: Some(0),
        unique: &["id"],
        base: true,
        weight: 14,
    },
    Table {
        name: "readings",
        columns: &[
            ("device", Text, true),
            ("n", Int, true),
            ("at", Local, true),
            ("value", Float, true),
            ("flags", Bits, true),
        ],
        key: Some(0),
        unique: &["device", "n"],
        base: true,
        weight: 10,
    },
    Table {
        name: "countries",
        columns: &[("code", Text, true), ("name", Text, true), ("region", Text, true), ("euro", Bool, true)],
        key: None,
        unique: &["code"],
        base: true,
        weight: 8,
    },
    Table {
        name: "products",
        columns: &[("id", Int, true), ("name", Text, true), ("category", Text, true), ("price", Num, true)],
        key: None,
        unique: &["id"],
        base: true,
        weight: 8,
    },
    Table {
        name: "settings",
        columns: &[("name", Text, true), ("value", Text, true), ("n", Int, true)],
        key: None,
        unique: &["name"],
        base: true,
        weight: 5,
    },
    Table {
        name: "paid_orders",
        columns: &[("id", Int, true), ("customer_id", Int, true), ("status", Text, true), ("total", Num, true)],
        key: Some(1),
        unique: &["customer_id", "id"],
        base: false,
        weight: 5,
    },
    Table {
        name: "order_sums",
        columns: &[("customer_id", Int, true), ("n", Int, true), ("total", Num, true)],
        key: Some(0),
        unique: &["customer_id"],
        base: false,
        weight: 4,
    },
    Table {
        name: "status_sums",
        columns: &[("status", Text, true), ("n", Int, true), ("total", Num, true)],
        key: None,
        unique: &["status"],
        base: false,
        weight: 3,
    },
    Table {
        name: "euro_countries",
        columns: &[("code", Text, true), ("name", Text, true)],
        key: None,
        unique: &["code"],
        base: false,
        weight: 2,
    },
    Table {
        name: "customer_orders",
        columns: &[
            ("customer_id", Int, true),
            ("name", Text, true),
            ("country", Text, true),
            ("order_id", Int, true),
            ("total", Num, true),
        ],
        key: Some(0),
        unique: &["customer_id", "order_id"],
        base: false,
        weight: 4,
    },
    Table {
        name: "top_orders",
        columns: &[("id", Int, true), ("customer_id", Int, true), ("total", Num, true)],
        key: None,
        unique: &["customer_id", "id"],
        base: false,
        weight: 2,
    },
];
