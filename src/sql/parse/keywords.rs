//! PostgreSQL's keywords (`kwlist.h`): where each may stand as a name, and whether it labels a column without AS.

/// What a keyword may name (`pg_get_keywords()`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Category {
    /// `unreserved_keyword`: anything.
    Free,
    /// `col_name_keyword`: a column or a table, not a function or a type.
    Column,
    /// `type_func_name_keyword`: a function or a type, not a column or a table.
    Function,
    /// `reserved_keyword`: a label only.
    Reserved,
}

macro_rules! keywords {
    ($($variant:ident $word:literal $category:ident $bare:literal;)*) => {
        /// A word's keyword; `Plain` is an ordinary identifier.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u16)]
        pub(super) enum Keyword { $($variant,)* Plain }

        /// Each keyword, in the order of the enumeration: its spelling, its category, whether it is a bare label.
        static KEYWORDS: &[(&str, Keyword, Category, bool)] =
            &[$(($word, Keyword::$variant, Category::$category, $bare),)*];
    };
}

keywords! {
    Abort "abort" Free true; Absolute "absolute" Free true; Access "access" Free true; Action "action" Free true;
    Add "add" Free true; Admin "admin" Free true; After "after" Free true; Aggregate "aggregate" Free true;
    All "all" Reserved true; Also "also" Free true; Alter "alter" Free true; Always "always" Free true;
    Analyse "analyse" Reserved true; Analyze "analyze" Reserved true; And "and" Reserved true;
    Any "any" Reserved true; Array "array" Reserved false; As "as" Reserved false; Asc "asc" Reserved true;
    Asensitive "asensitive" Free true; Assertion "assertion" Free true; Assignment "assignment" Free true;
    Asymmetric "asymmetric" Reserved true; At "at" Free true; Atomic "atomic" Free true; Attach "attach" Free true;
    Attribute "attribute" Free true; Authorization "authorization" Function true; Backward "backward" Free true;
    Before "before" Free true; Begin "begin" Free true; Between "between" Column true; Bigint "bigint" Column true;
    Binary "binary" Function true; Bit "bit" Column true; Boolean "boolean" Column true; Both "both" Reserved true;
    Breadth "breadth" Free true; By "by" Free true; Cache "cache" Free true; Call "call" Free true;
    Called "called" Free true; Cascade "cascade" Free true; Cascaded "cascaded" Free true;
    Case "case" Reserved true; Cast "cast" Reserved true; Catalog "catalog" Free true; Chain "chain" Free true;
    Char "char" Column false; Character "character" Column false; Characteristics "characteristics" Free true;
    Check "check" Reserved true; Checkpoint "checkpoint" Free true; Class "class" Free true;
    Close "close" Free true; Cluster "cluster" Free true; Coalesce "coalesce" Column true;
    Collate "collate" Reserved true; Collation "collation" Function true; Column "column" Reserved true;
    Columns "columns" Free true; Comment "comment" Free true; Comments "comments" Free true;
    Commit "commit" Free true; Committed "committed" Free true; Compression "compression" Free true;
    Concurrently "concurrently" Function true; Configuration "configuration" Free true;
    Conflict "conflict" Free true; Connection "connection" Free true; Constraint "constraint" Reserved true;
    Constraints "constraints" Free true; Content "content" Free true; Continue "continue" Free true;
    Conversion "conversion" Free true; Copy "copy" Free true; Cost "cost" Free true; Create "create" Reserved false;
    Cross "cross" Function true; Csv "csv" Free true; Cube "cube" Free true; Current "current" Free true;
    CurrentCatalog "current_catalog" Reserved true; CurrentDate "current_date" Reserved true;
    CurrentRole "current_role" Reserved true; CurrentSchema "current_schema" Function true;
    CurrentTime "current_time" Reserved true; CurrentTimestamp "current_timestamp" Reserved true;
    CurrentUser "current_user" Reserved true; Cursor "cursor" Free true; Cycle "cycle" Free true;
    Data "data" Free true; Database "database" Free true; Day "day" Free false; Deallocate "deallocate" Free true;
    Dec "dec" Column true; Decimal "decimal" Column true; Declare "declare" Free true;
    Default "default" Reserved true; Defaults "defaults" Free true; Deferrable "deferrable" Reserved true;
    Deferred "deferred" Free true; Definer "definer" Free true; Delete "delete" Free true;
    Delimiter "delimiter" Free true; Delimiters "delimiters" Free true; Depends "depends" Free true;
    Depth "depth" Free true; Desc "desc" Reserved true; Detach "detach" Free true;
    Dictionary "dictionary" Free true; Disable "disable" Free true; Discard "discard" Free true;
    Distinct "distinct" Reserved true; Do "do" Reserved true; Document "document" Free true;
    Domain "domain" Free true; Double "double" Free true; Drop "drop" Free true; Each "each" Free true;
    Else "else" Reserved true; Enable "enable" Free true; Encoding "encoding" Free true;
    Encrypted "encrypted" Free true; End "end" Reserved true; Enum "enum" Free true; Escape "escape" Free true;
    Event "event" Free true; Except "except" Reserved false; Exclude "exclude" Free true;
    Excluding "excluding" Free true; Exclusive "exclusive" Free true; Execute "execute" Free true;
    Exists "exists" Column true; Explain "explain" Free true; Expression "expression" Free true;
    Extension "extension" Free true; External "external" Free true; Extract "extract" Column true;
    False "false" Reserved true; Family "family" Free true; Fetch "fetch" Reserved false;
    Filter "filter" Free false; Finalize "finalize" Free true; First "first" Free true; Float "float" Column true;
    Following "following" Free true; For "for" Reserved false; Force "force" Free true;
    Foreign "foreign" Reserved true; Forward "forward" Free true; Freeze "freeze" Function true;
    From "from" Reserved false; Full "full" Function true; Function "function" Free true;
    Functions "functions" Free true; Generated "generated" Free true; Global "global" Free true;
    Grant "grant" Reserved false; Granted "granted" Free true; Greatest "greatest" Column true;
    Group "group" Reserved false; Grouping "grouping" Column true; Groups "groups" Free true;
    Handler "handler" Free true; Having "having" Reserved false; Header "header" Free true; Hold "hold" Free true;
    Hour "hour" Free false; Identity "identity" Free true; If "if" Free true; Ilike "ilike" Function true;
    Immediate "immediate" Free true; Immutable "immutable" Free true; Implicit "implicit" Free true;
    Import "import" Free true; In "in" Reserved true; Include "include" Free true; Including "including" Free true;
    Increment "increment" Free true; Index "index" Free true; Indexes "indexes" Free true;
    Inherit "inherit" Free true; Inherits "inherits" Free true; Initially "initially" Reserved true;
    Inline "inline" Free true; Inner "inner" Function true; Inout "inout" Column true; Input "input" Free true;
    Insensitive "insensitive" Free true; Insert "insert" Free true; Instead "instead" Free true;
    Int "int" Column true; Integer "integer" Column true; Intersect "intersect" Reserved false;
    Interval "interval" Column true; Into "into" Reserved false; Invoker "invoker" Free true; Is "is" Function true;
    Isnull "isnull" Function false; Isolation "isolation" Free true; Join "join" Function true; Key "key" Free true;
    Label "label" Free true; Language "language" Free true; Large "large" Free true; Last "last" Free true;
    Lateral "lateral" Reserved true; Leading "leading" Reserved true; Leakproof "leakproof" Free true;
    Least "least" Column true; Left "left" Function true; Level "level" Free true; Like "like" Function true;
    Limit "limit" Reserved false; Listen "listen" Free true; Load "load" Free true; Local "local" Free true;
    Localtime "localtime" Reserved true; Localtimestamp "localtimestamp" Reserved true;
    Location "location" Free true; Lock "lock" Free true; Locked "locked" Free true; Logged "logged" Free true;
    Mapping "mapping" Free true; Match "match" Free true; Matched "matched" Free true;
    Materialized "materialized" Free true; Maxvalue "maxvalue" Free true; Merge "merge" Free true;
    Method "method" Free true; Minute "minute" Free false; Minvalue "minvalue" Free true; Mode "mode" Free true;
    Month "month" Free false; Move "move" Free true; Name "name" Free true; Names "names" Free true;
    National "national" Column true; Natural "natural" Function true; Nchar "nchar" Column true;
    New "new" Free true; Next "next" Free true; Nfc "nfc" Free true; Nfd "nfd" Free true; Nfkc "nfkc" Free true;
    Nfkd "nfkd" Free true; No "no" Free true; None "none" Column true; Normalize "normalize" Column true;
    Normalized "normalized" Free true; Not "not" Reserved true; Nothing "nothing" Free true;
    Notify "notify" Free true; Notnull "notnull" Function false; Nowait "nowait" Free true;
    Null "null" Reserved true; Nullif "nullif" Column true; Nulls "nulls" Free true; Numeric "numeric" Column true;
    Object "object" Free true; Of "of" Free true; Off "off" Free true; Offset "offset" Reserved false;
    Oids "oids" Free true; Old "old" Free true; On "on" Reserved false; Only "only" Reserved true;
    Operator "operator" Free true; Option "option" Free true; Options "options" Free true; Or "or" Reserved true;
    Order "order" Reserved false; Ordinality "ordinality" Free true; Others "others" Free true;
    Out "out" Column true; Outer "outer" Function true; Over "over" Free false; Overlaps "overlaps" Function false;
    Overlay "overlay" Column true; Overriding "overriding" Free true; Owned "owned" Free true;
    Owner "owner" Free true; Parallel "parallel" Free true; Parameter "parameter" Free true;
    Parser "parser" Free true; Partial "partial" Free true; Partition "partition" Free true;
    Passing "passing" Free true; Password "password" Free true; Placing "placing" Reserved true;
    Plans "plans" Free true; Policy "policy" Free true; Position "position" Column true;
    Preceding "preceding" Free true; Precision "precision" Column false; Prepare "prepare" Free true;
    Prepared "prepared" Free true; Preserve "preserve" Free true; Primary "primary" Reserved true;
    Prior "prior" Free true; Privileges "privileges" Free true; Procedural "procedural" Free true;
    Procedure "procedure" Free true; Procedures "procedures" Free true; Program "program" Free true;
    Publication "publication" Free true; Quote "quote" Free true; Range "range" Free true; Read "read" Free true;
    Real "real" Column true; Reassign "reassign" Free true; Recheck "recheck" Free true;
    Recursive "recursive" Free true; Ref "ref" Free true; References "references" Reserved true;
    Referencing "referencing" Free true; Refresh "refresh" Free true; Reindex "reindex" Free true;
    Relative "relative" Free true; Release "release" Free true; Rename "rename" Free true;
    Repeatable "repeatable" Free true; Replace "replace" Free true; Replica "replica" Free true;
    Reset "reset" Free true; Restart "restart" Free true; Restrict "restrict" Free true; Return "return" Free true;
    Returning "returning" Reserved false; Returns "returns" Free true; Revoke "revoke" Free true;
    Right "right" Function true; Role "role" Free true; Rollback "rollback" Free true; Rollup "rollup" Free true;
    Routine "routine" Free true; Routines "routines" Free true; Row "row" Column true; Rows "rows" Free true;
    Rule "rule" Free true; Savepoint "savepoint" Free true; Schema "schema" Free true; Schemas "schemas" Free true;
    Scroll "scroll" Free true; Search "search" Free true; Second "second" Free false; Security "security" Free true;
    Select "select" Reserved true; Sequence "sequence" Free true; Sequences "sequences" Free true;
    Serializable "serializable" Free true; Server "server" Free true; Session "session" Free true;
    SessionUser "session_user" Reserved true; Set "set" Free true; Setof "setof" Column true; Sets "sets" Free true;
    Share "share" Free true; Show "show" Free true; Similar "similar" Function true; Simple "simple" Free true;
    Skip "skip" Free true; Smallint "smallint" Column true; Snapshot "snapshot" Free true;
    Some "some" Reserved true; Sql "sql" Free true; Stable "stable" Free true; Standalone "standalone" Free true;
    Start "start" Free true; Statement "statement" Free true; Statistics "statistics" Free true;
    Stdin "stdin" Free true; Stdout "stdout" Free true; Storage "storage" Free true; Stored "stored" Free true;
    Strict "strict" Free true; Strip "strip" Free true; Subscription "subscription" Free true;
    Substring "substring" Column true; Support "support" Free true; Symmetric "symmetric" Reserved true;
    Sysid "sysid" Free true; System "system" Free true; SystemUser "system_user" Reserved true;
    Table "table" Reserved true; Tables "tables" Free true; Tablesample "tablesample" Function true;
    Tablespace "tablespace" Free true; Temp "temp" Free true; Template "template" Free true;
    Temporary "temporary" Free true; Text "text" Free true; Then "then" Reserved true; Ties "ties" Free true;
    Time "time" Column true; Timestamp "timestamp" Column true; To "to" Reserved false;
    Trailing "trailing" Reserved true; Transaction "transaction" Free true; Transform "transform" Free true;
    Treat "treat" Column true; Trigger "trigger" Free true; Trim "trim" Column true; True "true" Reserved true;
    Truncate "truncate" Free true; Trusted "trusted" Free true; Type "type" Free true; Types "types" Free true;
    Uescape "uescape" Free true; Unbounded "unbounded" Free true; Uncommitted "uncommitted" Free true;
    Unencrypted "unencrypted" Free true; Union "union" Reserved false; Unique "unique" Reserved true;
    Unknown "unknown" Free true; Unlisten "unlisten" Free true; Unlogged "unlogged" Free true;
    Until "until" Free true; Update "update" Free true; User "user" Reserved true; Using "using" Reserved true;
    Vacuum "vacuum" Free true; Valid "valid" Free true; Validate "validate" Free true;
    Validator "validator" Free true; Value "value" Free true; Values "values" Column true;
    Varchar "varchar" Column true; Variadic "variadic" Reserved true; Varying "varying" Free false;
    Verbose "verbose" Function true; Version "version" Free true; View "view" Free true; Views "views" Free true;
    Volatile "volatile" Free true; When "when" Reserved true; Where "where" Reserved false;
    Whitespace "whitespace" Free true; Window "window" Reserved false; With "with" Reserved false;
    Within "within" Free false; Without "without" Free false; Work "work" Free true; Wrapper "wrapper" Free true;
    Write "write" Free true; Xml "xml" Free true; Xmlattributes "xmlattributes" Column true;
    Xmlconcat "xmlconcat" Column true; Xmlelement "xmlelement" Column true; Xmlexists "xmlexists" Column true;
    Xmlforest "xmlforest" Column true; Xmlnamespaces "xmlnamespaces" Column true; Xmlparse "xmlparse" Column true;
    Xmlpi "xmlpi" Column true; Xmlroot "xmlroot" Column true; Xmlserialize "xmlserialize" Column true;
    Xmltable "xmltable" Column true; Year "year" Free false; Yes "yes" Free true; Zone "zone" Free true;
}

/// Slots of the hash table, a power of two.
const SLOTS: usize = 2048;

/// Open addressing: each slot is an index into `KEYWORDS` plus one, or 0.
static TABLE: [u16; SLOTS] = table();

/// The hash of a word, in either case.
const fn hash(first: u8, second: u8, last: u8, length: usize) -> usize {
    let mixed = (first | 0x20) as usize * 31 + (second | 0x20) as usize * 1009 + (last | 0x20) as usize * 137;
    (mixed ^ (length * 7919)) & (SLOTS - 1)
}

const fn table() -> [u16; SLOTS] {
    let mut table = [0u16; SLOTS];
    let mut index = 0;
    while index < KEYWORDS.len() {
        let word = KEYWORDS[index].0.as_bytes();
        let mut slot = hash(word[0], word[1], word[word.len() - 1], word.len());
        while table[slot] != 0 {
            slot = (slot + 1) & (SLOTS - 1);
        }
        table[slot] = index as u16 + 1;
        index += 1;
    }
    table
}

impl Keyword {
    /// The keyword that a word without quotes is.
    pub(super) fn of(word: &[u8]) -> Keyword {
        let [first, second, ..] = word else { return Keyword::Plain };
        let Some(last) = word.last() else { return Keyword::Plain };
        let mut slot = hash(*first, *second, *last, word.len());
        while let Some(entry) = TABLE.get(slot).filter(|&&entry| entry != 0) {
            let Some(keyword) = KEYWORDS.get(*entry as usize - 1) else { break };
            if keyword.0.as_bytes().eq_ignore_ascii_case(word) {
                return keyword.1;
            }
            slot = (slot + 1) & (SLOTS - 1);
        }
        Keyword::Plain
    }

    fn entry(self) -> Option<&'static (&'static str, Keyword, Category, bool)> {
        KEYWORDS.get(self as usize)
    }

    /// What it may name. An ordinary identifier may name anything.
    pub(super) fn category(self) -> Category {
        self.entry().map_or(Category::Free, |entry| entry.2)
    }

    /// Whether it labels a column without AS (`BareColLabel`).
    pub(super) fn is_bare_label(self) -> bool {
        self.entry().is_none_or(|entry| entry.3)
    }

    /// Its spelling in lower case.
    pub(super) fn spelling(self) -> &'static str {
        self.entry().map_or("", |entry| entry.0)
    }
}
