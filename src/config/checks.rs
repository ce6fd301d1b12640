//! What must hold between settings.

use std::net::SocketAddr;

use super::mistake::{Mistakes, Places};
use super::model::*;
use super::secrets::{StoredPassword, stored_password};
use super::sharding;
use super::unknown::nearest;

/// The admin console's database.
const CONSOLE: &str = "pgbraid";

/// Longest path of a Unix socket (`sun_path` of Linux, without its NUL).
const SOCKET_PATH: usize = 107;

/// Notes every contradiction. A setting that is there but wrong counts as set: its own mistake is noted already.
pub(super) fn check(config: &Config, places: &Places, mistakes: &mut Mistakes) {
    let mut checks = Checks { config, places, mistakes };
    checks.listen();
    checks.client_tls();
    checks.users();
    checks.admin_users();
    checks.auth_query();
    checks.databases();
}

struct Checks<'a> {
    config: &'a Config,
    places: &'a Places,
    mistakes: &'a mut Mistakes,
}

impl Checks<'_> {
    fn listen(&mut self) {
        let server = &self.config.server;
        let place = self.places.at(&["server", "listen"]);
        for address in &server.listen {
            self.address("listen", address, place);
        }
        if server.listen.is_empty() && !self.places.is_set(&["server", "unix_socket_dir"]) {
            let hint = "set listen = \"127.0.0.1:6432\" or unix_socket_dir";
            self.mistakes.hinted(place, "there is nowhere to listen for clients", hint);
        }
        if let Some(http) = &server.http {
            let place = self.places.at(&["server", "http"]);
            self.address("http", http, place);
            if server.listen.contains(http) {
                self.mistakes.hinted(
                    place,
                    format!("`http` and `listen` are both {http}"),
                    "give `http` a port of its own",
                );
            }
        }
        let place = self.places.at(&["server", "unix_socket_dir"]);
        for dir in &server.unix_socket_dirs {
            if dir.join(".s.PGSQL.65535").as_os_str().len() > SOCKET_PATH {
                let message = format!("the folder `{}` is too long a name for a Unix socket", dir.display());
                self.mistakes.hinted(place, message, format!("a socket's whole path has at most {SOCKET_PATH} bytes"));
            }
        }
    }

    /// `host:port`, where host is a name, an IPv4 address, or an IPv6 address in brackets. Port 0: any free one.
    fn address(&mut self, key: &str, text: &str, place: usize) {
        if text.parse::<SocketAddr>().is_ok() {
            return;
        }
        let hint = match text.rsplit_once(':') {
            Some(("*" | "", port)) => format!("for all addresses write \"0.0.0.0:{port}\" or \"[::]:{port}\""),
            Some((host, port)) => {
                let name = host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
                let numeric = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
                if name && !numeric && port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok() {
                    return;
                }
                "write \"host:port\"; an IPv6 address stands in brackets: \"[::1]:6432\"".to_owned()
            }
            None => format!("write \"{text}:6432\"; a port is needed"),
        };
        self.mistakes.hinted(place, format!("`{key}` is \"{text}\", which isn't an address"), hint);
    }

    fn client_tls(&mut self) {
        let set = |key| self.places.is_set(&["server", key]);
        let at = |key| self.places.at(&["server", key]);
        let (cert, key) = (set("tls_cert"), set("tls_key"));
        if cert && !key {
            self.mistakes.add(at("tls_cert"), "`tls_cert` is set and `tls_key` isn't");
        }
        if key && !cert {
            self.mistakes.add(at("tls_key"), "`tls_key` is set and `tls_cert` isn't");
        }
        if !cert {
            if self.config.server.tls == ClientTls::Require {
                self.mistakes.hinted(
                    at("tls"),
                    "`tls` is \"require\" and there is no `tls_cert`",
                    "set tls_cert and tls_key",
                );
            }
            if set("tls_client_ca") {
                self.mistakes.add(at("tls_client_ca"), "`tls_client_ca` is set and `tls_cert` isn't");
            }
        }
        let method = self.places.at(&["auth", "method"]);
        if self.config.auth.method == AuthMethod::Cert {
            if !set("tls_client_ca") {
                let hint = "set [server] tls_client_ca to the authorities' PEM file";
                self.mistakes.hinted(method, "method = \"cert\" needs `tls_client_ca`", hint);
            }
            if cert && self.config.server.tls == ClientTls::Disable {
                self.mistakes.add(method, "method = \"cert\" needs TLS, and `tls` is \"disable\"");
            }
        }
    }

    /// Whether clients prove themselves with a password.
    fn by_password(&self) -> bool {
        matches!(self.config.auth.method, AuthMethod::ScramSha256 | AuthMethod::Md5)
    }

    fn users(&mut self) {
        let method = self.config.auth.method.as_str();
        if self.by_password() && self.config.users.is_empty() && !self.places.is_set(&["auth", "query"]) {
            let place = self.places.at(&["users"]);
            let hint = "add [users.NAME] with a password, or [auth] query";
            self.mistakes.hinted(place, "there are no users: nobody could log in", hint);
        }
        for (name, user) in &self.config.users {
            let place = self.places.at(&["users", name, "password"]);
            if name.is_empty() {
                self.mistakes.add(place, "a user's name is empty");
            }
            let Some(password) = &user.password else {
                if self.by_password()
                    && !self.places.is_set(&["users", name, "password"])
                    && !self.places.is_set(&["auth", "query"])
                {
                    let hint = format!("method = \"{method}\" asks for one: set password = \"env:NAME\"");
                    self.mistakes.hinted(place, format!("the user `{name}` has no password"), hint);
                }
                continue;
            };
            match (stored_password(password), self.config.auth.method) {
                (StoredPassword::BrokenScram, _) => self.mistakes.hinted(
                    place,
                    format!("the password of `{name}` begins as a SCRAM verifier and isn't one"),
                    "copy it whole: SELECT rolpassword FROM pg_authid WHERE rolname = …",
                ),
                (StoredPassword::Scram, AuthMethod::Md5) => self.mistakes.hinted(
                    place,
                    format!("the password of `{name}` is a SCRAM verifier, and method = \"md5\" can't use it"),
                    "set [auth] method = \"scram-sha-256\"",
                ),
                (StoredPassword::Md5, AuthMethod::ScramSha256) => self.mistakes.hinted(
                    place,
                    format!("the password of `{name}` is an MD5 hash, and method = \"scram-sha-256\" can't use it"),
                    "store the plain password or a SCRAM verifier, or set [auth] method = \"md5\"",
                ),
                _ => {}
            }
        }
    }

    fn admin_users(&mut self) {
        if !self.by_password() || self.places.is_set(&["auth", "query"]) {
            return;
        }
        let place = self.places.at(&["server", "admin_users"]);
        for name in self.config.server.admin_users.iter().filter(|name| !self.config.users.contains_key(*name)) {
            self.no_such_user(place, "admin_users", name);
        }
    }

    fn no_such_user(&mut self, place: usize, key: &str, name: &str) {
        let message = format!("`{key}` names `{name}`, which isn't in [users]");
        let hint = match nearest(name, self.config.users.keys().map(String::as_str)) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("add a section [users.{name}]"),
        };
        self.mistakes.hinted(place, message, hint);
    }

    fn auth_query(&mut self) {
        let Some(query) = &self.config.auth.query else { return };
        let place = self.places.at(&["auth", "query"]);
        if !query.contains("$1") {
            let hint = "as in: SELECT rolname, rolpassword FROM pg_authid WHERE rolname = $1";
            self.mistakes.hinted(place, "`query` has no $1 for the user's name", hint);
        }
        for name in self.config.databases.keys() {
            if !self.places.is_set(&["databases", name, "service_user"]) {
                let hint = format!("the query runs as the service user: set it in [databases.{name}]");
                self.mistakes.hinted(place, format!("`query` is set, and `{name}` has no `service_user`"), hint);
            }
        }
    }

    fn databases(&mut self) {
        if self.config.databases.is_empty() && !self.places.is_set(&["databases"]) {
            let hint = "add [databases.NAME] with shards.s1 = [\"postgres://host/dbname\"]";
            self.mistakes.hinted(0, "there is no database", hint);
        }
        for (name, database) in &self.config.databases {
            let at = |key| self.places.at(&["databases", name, key]);
            if name == CONSOLE {
                let hint = "name it otherwise; a URL may say another name for the server: postgres://host/pgbraid";
                self.mistakes.hinted(at(""), format!("the name `{CONSOLE}` belongs to the admin console"), hint);
            }
            if name.is_empty() {
                self.mistakes.add(at(""), "a database's name is empty");
            }
            if database.pool.min_size > database.pool.size {
                let Pool { min_size, size, .. } = database.pool;
                self.mistakes
                    .add(at("min_pool_size"), format!("`min_pool_size` is {min_size}, more than `pool_size` {size}"));
            }
            sharding::check(database, self.config, self.places, self.mistakes);
            let Replicas { health_interval, max_lag, .. } = database.replicas;
            if health_interval > max_lag {
                let hint = "a replica's lag is known only as often as servers are asked";
                self.mistakes.hinted(at("health_interval"), "`health_interval` is longer than `max_lag`", hint);
            }
            self.service_user(name, database);
        }
    }

    fn service_user(&mut self, name: &str, database: &Database) {
        let place = self.places.at(&["databases", name, "service_user"]);
        let Some(service) = &database.service_user else {
            let replicated = database.shards.iter().find(|shard| shard.servers.len() > 1);
            if let Some(shard) = replicated
                && !self.places.is_set(&["databases", name, "service_user"])
            {
                let place = self.places.at(&["databases", name, "shards", &shard.name]);
                let hint =
                    "set service_user = \"NAME\", an entry of [users]: as which the servers are asked for their roles";
                self.mistakes.hinted(place, format!("`{name}` has several servers and no `service_user`"), hint);
            }
            return;
        };
        let Some(user) = self.config.users.get(service) else {
            if !self.places.is_set(&["users", service]) {
                self.no_such_user(place, "service_user", service);
            }
            return;
        };
        let hint = format!("set password in [users.{service}] in plain, by env: or by file:");
        match &user.password {
            None if !self.places.is_set(&["users", service, "password"]) => {
                self.mistakes.hinted(place, format!("the service user `{service}` has no password"), hint);
            }
            Some(password) if stored_password(password) == StoredPassword::Scram => {
                let message =
                    format!("the service user `{service}` has only a verifier, which can't log in at a server");
                self.mistakes.hinted(place, message, hint);
            }
            _ => {}
        }
    }
}
