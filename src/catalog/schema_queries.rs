//! The queries that read a shard's schema, on PostgreSQL 14 to 18, as any role that may connect.

use super::CatalogQuery;

/// What is set before them, so that texts of defaults and views are the same on servers with other settings.
pub const READING: &str = "SET search_path = pg_catalog; SET standard_conforming_strings = on; SET timezone = 'UTC'; \
    SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres'; SET extra_float_digits = 1; SET bytea_output = 'hex'; \
    SET lc_monetary = 'C'; SET quote_all_identifiers = off";

/// All that [`Schema::from_rows`](super::schema::Schema::from_rows) needs. To be run as [`QUERIES`](super::QUERIES) are.
pub const SCHEMA_QUERIES: &[CatalogQuery] = &[
    CatalogQuery { name: "relations", sql: RELATIONS },
    CatalogQuery { name: "columns", sql: COLUMNS },
    CatalogQuery { name: "code", sql: CODE },
    CatalogQuery { name: "policies", sql: POLICIES },
    CatalogQuery { name: "operators", sql: OPERATORS },
    CatalogQuery { name: "collations", sql: COLLATIONS },
    CatalogQuery { name: "indexes", sql: INDEXES },
    CatalogQuery { name: "foreign keys", sql: FOREIGN_KEYS },
    CatalogQuery { name: "functions", sql: FUNCTIONS },
    CatalogQuery { name: "types", sql: TYPES },
    CatalogQuery { name: "labels", sql: LABELS },
    CatalogQuery { name: "database", sql: DATABASE },
    CatalogQuery { name: "defaults", sql: DEFAULTS },
];

/// OID, schema, name, kind, row security, users' triggers or rules, users' rules, parent's schema and name, definition,
/// whether triggers have transition tables.
const RELATIONS: &str = "
SELECT c.oid::text, n.nspname::text, c.relname::text, c.relkind::text, c.relrowsecurity::text,
       (EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal)
        OR EXISTS (SELECT FROM pg_catalog.pg_rewrite r WHERE r.ev_class = c.oid AND r.rulename <> '_RETURN'))::text,
       EXISTS (SELECT FROM pg_catalog.pg_rewrite r WHERE r.ev_class = c.oid AND r.rulename <> '_RETURN')::text,
       pn.nspname::text, pc.relname::text,
       CASE WHEN c.relkind IN ('v', 'm') AND c.oid >= 16384 THEN pg_catalog.pg_get_viewdef(c.oid) END,
       EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal
                AND (t.tgoldtable IS NOT NULL OR t.tgnewtable IS NOT NULL))::text
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid AND i.inhseqno = 1
  LEFT JOIN pg_catalog.pg_class pc ON pc.oid = i.inhparent
  LEFT JOIN pg_catalog.pg_namespace pn ON pn.oid = pc.relnamespace
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND c.relpersistence <> 't' AND n.nspname <> 'pg_toast'";

/// Relation's OID, name of a function of users that its triggers, defaults, checks (its columns' domains' too) or policies
/// call, by an operator too; whether it is a trigger before each row (TRIGGER_TYPE_ROW and TRIGGER_TYPE_BEFORE).
const CODE: &str = "
SELECT x.of::text, p.proname::text, bool_or(x.before)::text
  FROM (SELECT 'pg_catalog.pg_attrdef'::pg_catalog.regclass::oid AS class, a.oid, a.adrelid AS of, false AS before
          FROM pg_catalog.pg_attrdef a
        UNION ALL
        SELECT 'pg_catalog.pg_constraint'::pg_catalog.regclass, k.oid, k.conrelid, false FROM pg_catalog.pg_constraint k
        UNION ALL
        SELECT 'pg_catalog.pg_constraint'::pg_catalog.regclass, k.oid, a.attrelid, false
          FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_attribute a ON a.atttypid = k.contypid
         WHERE k.contypid <> 0 AND a.attnum > 0
        UNION ALL
        SELECT 'pg_catalog.pg_policy'::pg_catalog.regclass, p.oid, p.polrelid, false FROM pg_catalog.pg_policy p
        UNION ALL
        SELECT 'pg_catalog.pg_trigger'::pg_catalog.regclass, t.oid, t.tgrelid, t.tgtype & 3 = 3
          FROM pg_catalog.pg_trigger t WHERE NOT t.tgisinternal) x
  JOIN pg_catalog.pg_depend d ON d.classid = x.class AND d.objid = x.oid
  LEFT JOIN pg_catalog.pg_operator o
    ON d.refclassid = 'pg_catalog.pg_operator'::pg_catalog.regclass AND o.oid = d.refobjid
  JOIN pg_catalog.pg_proc p
    ON p.oid = CASE WHEN d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass THEN d.refobjid ELSE o.oprcode::oid END
 WHERE p.oid >= 16384 AND x.of >= 16384
 GROUP BY 1, 2 ORDER BY 1, 2";

/// Operators of users, and the functions behind them that aren't IMMUTABLE.
const OPERATORS: &str = "
SELECT o.oprname::text, p.proname::text
  FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_proc p ON p.oid = o.oprcode
 WHERE o.oid >= 16384 AND p.provolatile <> 'i'
 ORDER BY 1, 2";

/// Relation's OID, schema and name of another that its policies read.
const POLICIES: &str = "
SELECT DISTINCT p.polrelid::text, n.nspname::text, c.relname::text
  FROM pg_catalog.pg_policy p
  JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass AND d.objid = p.oid
  JOIN pg_catalog.pg_class c
    ON d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND c.oid = d.refobjid AND c.oid <> p.polrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 ORDER BY 1, 2, 3";

/// Relation's OID, number, name, type, modifier, type in words, not null, collation, default, identity, generated.
const COLUMNS: &str = "
SELECT a.attrelid::text, a.attnum::text, a.attname::text, a.atttypid::text, a.atttypmod::text,
       pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull::text, a.attcollation::text,
       CASE WHEN a.attgenerated = '' THEN coalesce(pg_catalog.pg_get_expr(d.adbin, d.adrelid),
         (SELECT t.typdefault FROM pg_catalog.pg_type t WHERE t.oid = a.atttypid AND t.typtype = 'd')) END,
       (a.attidentity <> '')::text, (a.attgenerated <> '')::text
  FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE a.attnum > 0 AND NOT a.attisdropped
   AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND c.relpersistence <> 't' AND n.nspname <> 'pg_toast'
 ORDER BY a.attrelid, a.attnum";

/// OID, name as SQL writes it, provider, locale, whether it is deterministic, version. Columns that not all versions
/// have are taken from the row as JSON.
const COLLATIONS: &str = "
SELECT c.oid::text, pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.collname), c.collprovider::text,
       coalesce(to_jsonb(c) ->> 'colllocale', to_jsonb(c) ->> 'colliculocale', c.collcollate::text),
       c.collisdeterministic::text, pg_catalog.pg_collation_actual_version(c.oid)
  FROM pg_catalog.pg_collation c JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace
 WHERE c.oid <> 100 AND (c.oid >= 16384 OR c.oid IN (950, 951)
        OR EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid >= 16384 AND a.attcollation = c.oid))";

/// Relation's OID, whether it is the primary key, the numbers of the columns that it compares by equality, name, whether
/// it is an exclusion, the numbers of all the columns that it reads, whether it is deferrable.
const INDEXES: &str = "
SELECT i.indrelid::text, i.indisprimary::text,
       (SELECT string_agg(k.number::text, ' ' ORDER BY k.at)
          FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(number, at)
         WHERE k.at <= i.indnkeyatts AND k.number > 0
           AND (NOT i.indisexclusion OR EXISTS (
                 SELECT FROM pg_catalog.pg_constraint x JOIN pg_catalog.pg_operator o ON o.oid = x.conexclop[k.at]
                  WHERE x.conindid = i.indexrelid AND x.contype = 'x' AND o.oprname = '='))),
       c.relname::text, i.indisexclusion::text,
       concat_ws(' ', array_to_string(i.indkey::int2[], ' '),
         (SELECT string_agg(DISTINCT d.refobjsubid::text, ' ') FROM pg_catalog.pg_depend d
           WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = i.indexrelid
             AND d.refclassid = d.classid AND d.refobjid = i.indrelid AND d.refobjsubid > 0)),
       (NOT i.indimmediate)::text
  FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
 WHERE (i.indisunique OR i.indisexclusion) AND i.indrelid >= 16384
 ORDER BY i.indrelid, c.relname";

/// Relation's OID, name, the columns' numbers, target's OID, its columns' numbers, whether it acts.
const FOREIGN_KEYS: &str = "
SELECT k.conrelid::text, k.conname::text, array_to_string(k.conkey, ' '), k.confrelid::text,
       array_to_string(k.confkey, ' '), (k.confdeltype IN ('c', 'n', 'd') OR k.confupdtype IN ('c', 'n', 'd'))::text
  FROM pg_catalog.pg_constraint k
 WHERE k.contype = 'f'
 ORDER BY k.conrelid, k.conname";

/// Schema, name, kind, volatility (an aggregate's: the worst of its parts), strict, built in (also our own
/// `pgbraid.unique_id`), arguments, result, set,
/// kind of aggregate, MD5 of the definition of a user's, its body where it can be read.
const FUNCTIONS: &str = "
SELECT n.nspname::text, p.proname::text, p.prokind::text,
       CASE WHEN g.aggfnoid IS NULL THEN p.provolatile::text ELSE
            (SELECT CASE WHEN bool_or(q.provolatile = 'v') THEN 'v' WHEN bool_or(q.provolatile = 's') THEN 's'
                         ELSE 'i' END
               FROM pg_catalog.pg_proc q WHERE q.oid IN (g.aggtransfn, g.aggfinalfn)) END,
       p.proisstrict::text, (p.oid < 16384 OR n.nspname = 'pgbraid' AND p.proname = 'unique_id')::text, p.proargtypes::text, p.prorettype::text, p.proretset::text,
       (g.aggkind IS NOT NULL AND g.aggkind <> 'n')::text,
       CASE WHEN p.oid >= 16384 AND p.prokind <> 'a' THEN md5(pg_catalog.pg_get_functiondef(p.oid)) END,
       CASE WHEN p.oid >= 16384 AND l.lanname IN ('sql', 'plpgsql') AND p.prokind <> 'a'
            THEN coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc)
              || coalesce(chr(10) || pg_catalog.pg_get_expr(p.proargdefaults, 0), '') END
  FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  LEFT JOIN pg_catalog.pg_aggregate g ON g.aggfnoid = p.oid
 WHERE n.nspname !~ '^pg_temp_'";

/// OID, schema, name, kind, category, element, base, whether it is collatable, type of a range's bounds.
const TYPES: &str = "
SELECT t.oid::text, n.nspname::text, t.typname::text, t.typtype::text, t.typcategory::text,
       CASE WHEN t.typlen = -1 AND t.typelem <> 0 AND t.typcategory = 'A' THEN t.typelem ELSE 0 END::text,
       t.typbasetype::text, (t.typcollation <> 0)::text,
       coalesce((SELECT r.rngsubtype FROM pg_catalog.pg_range r WHERE t.oid IN (r.rngtypid, r.rngmultitypid)), 0)::text
  FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
 WHERE n.nspname !~ '^pg_(toast_)?temp_' AND n.nspname <> 'pg_toast'";

/// Enums' OIDs and labels, in order.
const LABELS: &str = "
SELECT e.enumtypid::text, e.enumlabel::text FROM pg_catalog.pg_enum e ORDER BY e.enumtypid, e.enumsortorder";

/// Version, encoding; the database's collation: provider, locale, version.
const DATABASE: &str = "
SELECT current_setting('server_version_num'), current_setting('server_encoding'),
       coalesce(to_jsonb(d) ->> 'datlocprovider', 'c'),
       coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale', d.datcollate::text),
       to_jsonb(d) ->> 'datcollversion'
  FROM pg_catalog.pg_database d WHERE d.datname = current_database()";

/// How near it is, role, name, value of settings that sessions begin with (`process_settings` in postinit.c). Those of
/// the server are told by the session that asks, but for what was set for its own role.
const DEFAULTS: &str = "
SELECT '0', '', s.name::text, s.reset_val::text FROM pg_catalog.pg_settings s
 WHERE s.context = 'user' AND s.name NOT IN ('client_encoding', 'role', 'session_authorization')
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_db_role_setting d, unnest(d.setconfig) c(one)
                    WHERE d.setrole IN (0, (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname = session_user))
                      AND d.setdatabase IN (0, (SELECT b.oid FROM pg_catalog.pg_database b WHERE b.datname = current_database()))
                      AND lower(split_part(c.one, '=', 1)) = lower(s.name))
UNION ALL
SELECT ((d.setrole <> 0)::int * 2 + (d.setdatabase <> 0)::int)::text,
       coalesce((SELECT r.rolname::text FROM pg_catalog.pg_roles r WHERE r.oid = d.setrole), ''),
       split_part(c.one, '=', 1), substr(c.one, strpos(c.one, '=') + 1)
  FROM pg_catalog.pg_db_role_setting d
  LEFT JOIN pg_catalog.pg_database b ON b.oid = d.setdatabase, unnest(d.setconfig) c(one)
 WHERE d.setdatabase = 0 OR b.datname = current_database()
 ORDER BY 1, 2, 3";

/// What [`POLL`](super::POLL) doesn't look at, for a shard.
pub const SCHEMA_POLL: &str = "
SELECT pg_catalog.concat_ws(' ',
  (SELECT concat(count(*), ':', sum(xmin::text::bigint)) FROM pg_catalog.pg_attribute
    WHERE attrelid >= 16384 AND attnum > 0),
  (SELECT concat(count(*), ':', sum(xmin::text::bigint)) FROM pg_catalog.pg_index WHERE indexrelid >= 16384),
  (SELECT concat(count(*), ':', sum(xmin::text::bigint)) FROM pg_catalog.pg_type WHERE oid >= 16384),
  (SELECT concat(count(*), ':', sum(xmin::text::bigint)) FROM pg_catalog.pg_enum),
  (SELECT concat(count(*), ':', sum(xmin::text::bigint)) FROM pg_catalog.pg_collation WHERE oid >= 16384),
  (SELECT concat(count(*), ':', sum(xmin::text::bigint)) FROM pg_catalog.pg_db_role_setting),
  (SELECT md5(string_agg(reset_val, ' ' ORDER BY name)) FROM pg_catalog.pg_settings
    WHERE name IN ('search_path', 'TimeZone', 'DateStyle', 'IntervalStyle', 'standard_conforming_strings', 'bytea_output',
                   'extra_float_digits', 'lc_monetary', 'lc_numeric', 'lc_time')))";
