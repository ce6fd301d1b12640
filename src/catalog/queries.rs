//! The queries that read a database's catalog, on PostgreSQL 14 to 18, as any role that may connect.

/// One query. All its columns are text; NULLs are told apart.
#[derive(Clone, Copy, Debug)]
pub struct CatalogQuery {
    pub name: &'static str,
    pub sql: &'static str,
}

/// All that [`Catalog::from_rows`](super::Catalog::from_rows) needs. To be run in one REPEATABLE READ transaction with
/// `standard_conforming_strings = on`, `search_path = pg_catalog` (definitions then come out qualified) and without a
/// short `statement_timeout`; on the primary.
pub const QUERIES: &[CatalogQuery] = &[
    CatalogQuery { name: "relations", sql: RELATIONS },
    CatalogQuery { name: "definitions", sql: DEFINITIONS },
    CatalogQuery { name: "edges", sql: EDGES },
    CatalogQuery { name: "functions", sql: FUNCTIONS },
    CatalogQuery { name: "expressions", sql: EXPRESSIONS },
    CatalogQuery { name: "operators", sql: OPERATORS },
    CatalogQuery { name: "implied", sql: IMPLIED },
    CatalogQuery { name: "database", sql: DATABASE },
];

/// Schema, name, kind, persistence, whether users' triggers or rules hang on it. Temporary relations are left out:
/// who uses them is pinned.
const RELATIONS: &str = "
SELECT n.nspname::text, c.relname::text, c.relkind::text, c.relpersistence::text,
       (EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal)
        OR EXISTS (SELECT FROM pg_catalog.pg_rewrite r WHERE r.ev_class = c.oid AND r.rulename <> '_RETURN'))::text
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND c.relpersistence <> 't' AND n.nspname <> 'pg_toast'";

/// Relation, and an expression or query that reading it runs: views' definitions, policies of row security.
const DEFINITIONS: &str = "
SELECT c.relname::text, pg_catalog.pg_get_viewdef(c.oid)
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'v' AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
UNION ALL
SELECT c.relname::text, e.expression
  FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid
 CROSS JOIN LATERAL (VALUES (pg_catalog.pg_get_expr(p.polqual, p.polrelid)),
                            (pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid))) e(expression)
 WHERE c.relrowsecurity AND e.expression IS NOT NULL";

/// What writing (or reading) one relation reaches: `i` child, parent; `a` referenced, referencing, where an action of
/// the foreign key writes; `r` the same where it doesn't (TRUNCATE … CASCADE follows both).
const EDGES: &str = "
SELECT 'i', c.relname::text, p.relname::text
  FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
  JOIN pg_catalog.pg_class p ON p.oid = i.inhparent
 WHERE c.relkind IN ('r', 'p', 'f')
UNION
SELECT CASE WHEN f.confdeltype IN ('c', 'n', 'd') OR f.confupdtype IN ('c', 'n', 'd') THEN 'a' ELSE 'r' END,
       p.relname::text, c.relname::text
  FROM pg_catalog.pg_constraint f JOIN pg_catalog.pg_class c ON c.oid = f.conrelid
  JOIN pg_catalog.pg_class p ON p.oid = f.confrelid
 WHERE f.contype = 'f'";

/// Name, origin (`b` comes with PostgreSQL, `u` does not), volatility (`v`, `s`, `i`: the worst of overloads that come
/// with PostgreSQL, the worst of an aggregate's parts), language, whether it may be called with one argument, body.
const FUNCTIONS: &str = "
SELECT p.proname::text, 'b', CASE WHEN bool_or(p.provolatile = 'v') THEN 'v'
                                  WHEN bool_or(p.provolatile = 's') THEN 's' ELSE 'i' END,
       'internal', bool_or(p.pronargs >= 1 AND p.pronargs - p.pronargdefaults <= 1)::text, NULL
  FROM pg_catalog.pg_proc p
 WHERE p.oid < 16384
 GROUP BY p.proname
UNION ALL
SELECT p.proname::text, 'u',
       CASE WHEN p.prokind = 'a' THEN
            (SELECT CASE WHEN bool_or(q.provolatile = 'v') THEN 'v' WHEN bool_or(q.provolatile = 's') THEN 's'
                         ELSE 'i' END
               FROM pg_catalog.pg_aggregate a JOIN pg_catalog.pg_proc q
                 ON q.oid IN (a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn,
                              a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn)
              WHERE a.aggfnoid = p.oid)
            ELSE p.provolatile::text END,
       CASE WHEN p.prokind = 'a' THEN 'aggregate' ELSE l.lanname::text END,
       (p.pronargs >= 1 AND p.pronargs - p.pronargdefaults <= 1)::text,
       CASE WHEN p.prokind = 'a' THEN
            (SELECT string_agg(q.proname || '()', ' ')
               FROM pg_catalog.pg_aggregate a JOIN pg_catalog.pg_proc q
                 ON q.oid IN (a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn,
                              a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn)
              WHERE a.aggfnoid = p.oid)
            WHEN l.lanname IN ('sql', 'plpgsql') AND p.provolatile <> 'v' AND p.prokind = 'f'
            THEN coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc) END
  FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang
 WHERE p.oid >= 16384";

/// Relation, and a function of users that writing it runs: in defaults, generated columns, constraints.
const EXPRESSIONS: &str = "
SELECT c.relname::text, p.proname::text
  FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_proc p ON p.oid = d.refobjid
  JOIN pg_catalog.pg_attrdef a ON a.oid = d.objid JOIN pg_catalog.pg_class c ON c.oid = a.adrelid
 WHERE d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass
   AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND p.oid >= 16384
UNION
SELECT c.relname::text, p.proname::text
  FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_proc p ON p.oid = d.refobjid
  JOIN pg_catalog.pg_constraint k ON k.oid = d.objid JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
 WHERE d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass
   AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND p.oid >= 16384";

/// Users' operators and the functions behind them.
const OPERATORS: &str = "
SELECT DISTINCT o.oprname::text, p.proname::text
  FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_proc p ON p.oid = o.oprcode::pg_catalog.oid
 WHERE o.oid >= 16384";

/// What may run without being named: `f` a function of users behind a cast or an operator class, `e` the constraint of
/// a domain.
const IMPLIED: &str = "
SELECT 'f', p.proname::text
  FROM pg_catalog.pg_cast c JOIN pg_catalog.pg_proc p ON p.oid = c.castfunc WHERE p.oid >= 16384
UNION
SELECT 'f', p.proname::text
  FROM pg_catalog.pg_amproc a JOIN pg_catalog.pg_proc p ON p.oid = a.amproc::pg_catalog.oid WHERE p.oid >= 16384
UNION
SELECT 'e', pg_catalog.pg_get_constraintdef(k.oid)
  FROM pg_catalog.pg_constraint k WHERE k.contypid <> 0 AND k.oid >= 16384";

/// Whether event triggers watch definitions.
const DATABASE: &str = "SELECT EXISTS (SELECT FROM pg_catalog.pg_event_trigger WHERE evtenabled <> 'D')::text";

/// Cheap enough for every few seconds; its one text changes when [`QUERIES`] may answer differently. Sums of `xmin`
/// notice every row that came, went or changed (statistics are written in place and don't count).
pub const POLL: &str = "
SELECT pg_catalog.concat_ws(' ',
  (SELECT concat(count(*), ':', sum(xmin::text::bigint)) FROM pg_catalog.pg_class
    WHERE oid >= 16384 AND relpersistence <> 't' AND relkind IN ('r', 'p', 'v', 'm', 'S', 'f')),
  (SELECT concat(count(*), ':', sum(xmin::text::bigint)) FROM pg_catalog.pg_proc WHERE oid >= 16384),
  (SELECT concat(count(*), ':', sum(xmin::text::bigint)) FROM pg_catalog.pg_rewrite WHERE oid >= 16384),
  (SELECT concat(count(*), ':', sum(xmin::text::bigint)) FROM pg_catalog.pg_policy),
  (SELECT concat(count(*), ':', sum(xmin::text::bigint)) FROM pg_catalog.pg_trigger WHERE NOT tgisinternal),
  (SELECT concat(count(*), ':', sum(xmin::text::bigint)) FROM pg_catalog.pg_constraint WHERE oid >= 16384),
  (SELECT concat(count(*), ':', sum(xmin::text::bigint)) FROM pg_catalog.pg_attrdef),
  (SELECT concat(count(*), ':', sum(xmin::text::bigint)) FROM pg_catalog.pg_inherits),
  (SELECT concat(count(*), ':', sum(xmin::text::bigint)) FROM pg_catalog.pg_operator WHERE oid >= 16384),
  (SELECT concat(count(*), ':', sum(xmin::text::bigint)) FROM pg_catalog.pg_aggregate WHERE aggfnoid >= 16384),
  (SELECT concat(count(*), ':', sum(xmin::text::bigint)) FROM pg_catalog.pg_cast WHERE oid >= 16384),
  (SELECT concat(count(*), ':', sum(xmin::text::bigint)) FROM pg_catalog.pg_amproc WHERE oid >= 16384),
  (SELECT concat(count(*), ':', sum(xmin::text::bigint)) FROM pg_catalog.pg_namespace
    WHERE nspname !~ '^pg_'),
  (SELECT concat(count(*), ':', sum(xmin::text::bigint)) FROM pg_catalog.pg_event_trigger))";
