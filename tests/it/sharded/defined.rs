//! Three empty shards behind a proxy, and what is defined on each: for the tests of definitions.

use std::sync::OnceLock;

use pgbraid::cli::cluster::{Cluster, ClusterOptions, PRIMARY};

use crate::support::proxy::Inside;
use crate::support::raw::{Frame, Raw, Target};

pub const SHARDS: &[&str] = &["s1", "s2", "s3"];

/// Placements that most tests use. None of the tables is there at first.
pub const PLACES: &str = "[databases.shop.tables]\ncustomers = { key = \"id\" }\n\
    orders = { key = \"customer_id\", with = \"customers\" }\ncountries = { reference = true }\n";

/// One server whose databases are shards.
pub fn cluster() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(|| {
        let thread = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(server())
        });
        thread.join().expect("the cluster starts")
    })
}

/// A server with the roles that the tests log in as.
pub async fn server() -> Cluster {
    let cluster = Cluster::start(ClusterOptions::default()).await.unwrap();
    let roles = "CREATE ROLE app LOGIN CREATEROLE PASSWORD 'app'; CREATE ROLE keeper LOGIN PASSWORD 'k';
        GRANT pg_read_all_data, pg_monitor, app TO keeper; CREATE ROLE reader";
    cluster.execute(PRIMARY, "postgres", roles).await.unwrap();
    cluster
}

/// A database for the application.
pub async fn make(cluster: &Cluster, database: &str) {
    cluster.execute(PRIMARY, "postgres", &format!("CREATE DATABASE {database} OWNER app")).await.unwrap();
    let grant = format!("GRANT CREATE ON DATABASE {database} TO keeper");
    cluster.execute(PRIMARY, "postgres", &grant).await.unwrap();
    cluster.execute(PRIMARY, database, "ALTER SCHEMA public OWNER TO app").await.unwrap();
}

/// Three databases of one server as shards.
pub struct Three {
    name: &'static str,
    pub proxy: Inside,
}

impl Three {
    pub async fn start(name: &'static str, rest: &str) -> Self {
        for shard in SHARDS {
            make(cluster(), &format!("{name}_{shard}")).await;
        }
        Self { name, proxy: Inside::start(&configuration(name, rest)).await }
    }

    /// Another proxy in front of the same shards.
    pub async fn again(&self, rest: &str) -> Self {
        Self { name: self.name, proxy: Inside::start(&configuration(self.name, rest)).await }
    }

    pub fn target(&self) -> Target {
        self.proxy.target("app", "app", "shop")
    }

    pub async fn client(&self) -> Raw {
        Raw::login(&self.target()).await
    }

    /// One value from a shard itself.
    pub async fn on(&self, shard: &str, sql: &str) -> String {
        cluster().value(PRIMARY, &format!("{}_{shard}", self.name), sql).await.unwrap()
    }

    /// Carries out on a shard itself, as the application.
    pub async fn run(&self, shard: &str, sql: &str) {
        let sql = format!("SET ROLE app; {sql}");
        cluster().execute(PRIMARY, &format!("{}_{shard}", self.name), &sql).await.unwrap();
    }

    /// The same value on all shards.
    pub async fn everywhere(&self, sql: &str) -> String {
        let first = self.on("s1", sql).await;
        for shard in ["s2", "s3"] {
            assert_eq!(self.on(shard, sql).await, first, "{sql} on {shard}");
        }
        first
    }

    /// What users have defined is the same on all shards; a line an object.
    pub async fn same(&self) -> String {
        let first = defined(cluster(), &format!("{}_s1", self.name)).await;
        for shard in ["s2", "s3"] {
            let other = defined(cluster(), &format!("{}_{shard}", self.name)).await;
            assert_eq!(first, other, "s1 and {shard} differ");
        }
        let sql = format!("SELECT count(*) FROM pg_prepared_xacts WHERE database LIKE '{}\\_s_'", self.name);
        let prepared = cluster().value(PRIMARY, "postgres", &sql);
        assert_eq!(prepared.await.unwrap(), "0", "something is left prepared");
        first
    }
}

fn configuration(name: &str, rest: &str) -> String {
    let mut text = "[users.app]\npassword = \"app\"\n[users.keeper]\npassword = \"k\"\n[databases.shop]\n\
        service_user = \"keeper\"\nhome = \"s1\"\nconnect_timeout = \"60s\"\n"
        .to_owned();
    for shard in SHARDS {
        text += &format!("shards.{shard} = {:?}\n", cluster().url(PRIMARY, &format!("{name}_{shard}")));
    }
    text + rest
}

/// All that users have defined in a database, without OIDs, in order.
pub async fn defined(cluster: &Cluster, database: &str) -> String {
    let rows = cluster.query(PRIMARY, database, DEFINED).await.unwrap();
    rows.into_iter().map(|row| row[0].clone().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

const DEFINED: &str = "
WITH mine AS (SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'pgbraid')),
own AS (SELECT c.*, c.oid AS id FROM pg_class c WHERE c.relnamespace IN (SELECT oid FROM mine))
SELECT line FROM (
SELECT format('%s %s owner %s acl %s rls %s', relkind, id::regclass, relowner::regrole, relacl, relrowsecurity) AS line FROM own
UNION ALL SELECT format('column %s.%s %s %s %s %s %s', a.attrelid::regclass, a.attname,
    format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, pg_get_expr(d.adbin, d.adrelid), a.attacl)
  FROM pg_attribute a JOIN own ON own.id = a.attrelid LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE a.attnum > 0 AND NOT a.attisdropped
UNION ALL SELECT format('constraint %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) FROM pg_constraint
 WHERE connamespace IN (SELECT oid FROM mine)
UNION ALL SELECT format('index %s', pg_get_indexdef(id)) FROM own WHERE relkind IN ('i', 'I')
UNION ALL SELECT format('view %s', pg_get_viewdef(id)) FROM own WHERE relkind IN ('v', 'm')
UNION ALL SELECT format('function %s', pg_get_functiondef(oid)) FROM pg_proc
 WHERE pronamespace IN (SELECT oid FROM mine) AND prokind IN ('f', 'p')
UNION ALL SELECT format('trigger %s', pg_get_triggerdef(t.oid)) FROM pg_trigger t JOIN own ON own.id = t.tgrelid
 WHERE NOT t.tgisinternal
UNION ALL SELECT format('type %s %s', t.oid::regtype, string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder))
  FROM pg_type t LEFT JOIN pg_enum e ON e.enumtypid = t.oid
 WHERE t.typnamespace IN (SELECT oid FROM mine) AND t.typtype IN ('e', 'd') GROUP BY t.oid
UNION ALL SELECT format('rule %s', pg_get_ruledef(r.oid)) FROM pg_rewrite r JOIN own ON own.id = r.ev_class
 WHERE own.relkind = 'r'
UNION ALL SELECT format('policy %s on %s %s', polname, polrelid::regclass, pg_get_expr(polqual, polrelid)) FROM pg_policy
UNION ALL SELECT format('comment %s %s %s', objoid::regclass, objsubid, description) FROM pg_description
 WHERE classoid = 'pg_class'::regclass AND objoid IN (SELECT id FROM own)
UNION ALL SELECT format('extension %s', extname) FROM pg_extension
UNION ALL SELECT format('schema %s %s', nspname, nspacl) FROM pg_namespace WHERE oid IN (SELECT oid FROM mine)
) all_of_it ORDER BY line COLLATE \"C\"";

/// What a string of statements came to: its last command tag, or `SQLSTATE: message (detail) (hint)`.
pub async fn said(raw: &mut Raw, sql: &str) -> String {
    told(&raw.query(sql).await.unwrap())
}

/// The same of frames.
pub fn told(frames: &[Frame]) -> String {
    match frames.iter().find(|frame| frame.kind == b'E') {
        Some(error) => {
            let fields = error.fields();
            let field = |letter| fields.get(&letter).cloned().unwrap_or_default();
            format!("{}: {} ({}) ({})", field('C'), field('M'), field('D'), field('H'))
        }
        None => frames.iter().rev().find_map(Frame::tag).unwrap_or_default(),
    }
}

/// Runs statements one by one; each must succeed.
pub async fn all(raw: &mut Raw, statements: &[&str]) {
    for sql in statements {
        let frames = raw.query(sql).await.unwrap();
        assert!(frames.iter().all(|frame| frame.kind != b'E'), "{sql}: {}", told(&frames));
        let tags = frames.iter().filter(|frame| frame.kind == b'C').count();
        assert_eq!(tags, 1, "{sql}: {frames:?}");
    }
}
