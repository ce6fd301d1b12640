//! The image and the compose file without a container engine: parsed, and their steps run in plain folders.

use std::path::Path;
use std::process::{Command, Output};

use pgbraid::cli::cluster::{Binaries, Cluster, ClusterOptions, PRIMARY};

/// The repository's folder.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A Dockerfile's instructions in order: the word and the rest of the line.
fn instructions(dockerfile: &str) -> Vec<(&str, &str)> {
    let lines = dockerfile.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once(' ').unwrap_or_else(|| panic!("`{line}` is no instruction"))).collect()
}

#[test]
fn the_image_is_built_in_two_stages_and_runs_unprivileged() {
    const KNOWN: [&str; 11] =
        ["FROM", "WORKDIR", "COPY", "RUN", "USER", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD", "ENV"];
    let dockerfile = text("docker/Dockerfile");
    let all = instructions(&dockerfile);
    for (word, rest) in &all {
        assert!(KNOWN.contains(word), "{word} {rest}");
        if matches!(*word, "ENTRYPOINT" | "CMD") {
            assert!(rest.starts_with("[\"") && rest.ends_with("\"]"), "not in the exec form: {word} {rest}");
        }
        // What is copied from the repository is there.
        if *word == "COPY" && !rest.starts_with("--from=") {
            let source = rest.split(' ').next().unwrap_or_default();
            assert!(root().join(source).exists(), "COPY {rest}: no {source}");
        }
    }
    let stages: Vec<usize> = (0..all.len()).filter(|i| all[*i].0 == "FROM").collect();
    assert_eq!(stages.len(), 2);
    assert!(all[stages[0]].1.ends_with(" AS build"));
    let last = &all[stages[1]..];
    let user = last.iter().find(|(word, _)| *word == "USER").expect("the image says who runs it").1;
    assert!(!matches!(user, "root" | "0"));
    assert!(last.iter().any(|(word, rest)| *word == "RUN" && rest.starts_with("useradd") && rest.ends_with(user)));
    assert!(!last.iter().any(|(_, rest)| rest.contains("cargo")), "the toolchain stays in the first stage");
    // The image's Rust is not older than what the package asks for.
    let asked = text("Cargo.toml").lines().find_map(|line| Some(line.strip_prefix("rust-version = \"")?.to_owned()));
    let asked = asked.expect("rust-version").trim_end_matches('"').to_owned();
    assert!(all[stages[0]].1.starts_with(&format!("rust:{asked}")), "{} but rust-version {asked}", all[stages[0]].1);
}

#[test]
fn the_images_steps_give_a_program_that_accepts_its_configuration() {
    let image = tempfile::tempdir().unwrap();
    // As the COPY instructions of the last stage do.
    let program = image.path().join("pgbraid");
    std::fs::copy(env!("CARGO_BIN_EXE_pgbraid"), &program).unwrap();
    let config = image.path().join("pgbraid.toml");
    std::fs::copy(root().join("docker/pgbraid.toml"), &config).unwrap();
    let check = |variables: &[(&str, &str)]| {
        let mut command = Command::new(&program);
        command.args(["check", "--offline", "--config"]).arg(&config).env_clear();
        command.envs(variables.iter().copied()).output().unwrap()
    };
    let passwords = [("APP_PASSWORD", "a"), ("PGBRAID_SERVICE_PASSWORD", "b")];
    let sound = check(&passwords);
    assert!(sound.status.success(), "{}", said(&sound));
    let lacking = check(&passwords[..1]);
    assert!(!lacking.status.success(), "{}", said(&lacking));
    assert!(said(&lacking).contains("PGBRAID_SERVICE_PASSWORD"), "{}", said(&lacking));
}

#[test]
fn the_compose_file_has_a_primary_a_replica_and_the_proxy() {
    let compose = text("docker/compose.yaml");
    let services = compose.split_once("\nservices:\n").expect("services").1.split("\nvolumes:").next().unwrap();
    let names: Vec<&str> = services
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .map(|line| line.trim().trim_end_matches(':'))
        .collect();
    assert_eq!(names, ["primary", "replica", "pgbraid"]);
    // The files that it mounts and builds from are there, and the servers have the names that the configuration knows.
    for file in ["primary.sh", "replica.sh"] {
        assert!(compose.contains(&format!("- ./{file}:")), "{file} isn't mounted");
        let syntax = Command::new("bash").arg("-n").arg(root().join("docker").join(file)).output().unwrap();
        assert!(syntax.status.success(), "{file}: {}", said(&syntax));
    }
    assert!(compose.contains("dockerfile: docker/Dockerfile"));
    for server in ["primary", "replica"] {
        assert!(text("docker/pgbraid.toml").contains(&format!("postgres://{server}/shop")));
    }
    // Python's parser has the last word where it is there.
    let parse = "import sys, yaml; d = yaml.safe_load(open(sys.argv[1])); \
                 e = d['services']['pgbraid']['environment']; \
                 assert set(d['volumes']) == {'primary', 'replica'}; \
                 assert 'APP_PASSWORD' in e and 'PGBRAID_SERVICE_PASSWORD' in e, e; \
                 assert all(p.startswith('127.0.0.1:') for p in d['services']['pgbraid']['ports'])";
    let has_yaml = Command::new("python3").args(["-c", "import yaml"]).output().is_ok_and(|o| o.status.success());
    if has_yaml {
        let parsed =
            Command::new("python3").args(["-c", parse]).arg(root().join("docker/compose.yaml")).output().unwrap();
        assert!(parsed.status.success(), "{}", said(&parsed));
    }
}

#[tokio::test]
async fn the_primarys_script_makes_roles_that_can_log_in_and_replicate() {
    let cluster = Cluster::start(ClusterOptions::default()).await.unwrap();
    cluster.execute(PRIMARY, "postgres", "CREATE DATABASE shop").await.unwrap();
    let bin = Binaries::find().unwrap();
    let path = format!("{}:{}", bin.dir().display(), std::env::var_os("PATH").unwrap_or_default().to_string_lossy());
    let passwords = [("APP_PASSWORD", "a'p"), ("PGBRAID_SERVICE_PASSWORD", "s"), ("REPLICATION_PASSWORD", "r")];
    let mut script = Command::new("bash");
    script.arg(root().join("docker/primary.sh")).env("PATH", &path).envs(passwords).env("POSTGRES_DB", "shop");
    script.env("PGHOST", cluster.host()).env("PGPORT", cluster.port(PRIMARY).to_string());
    script.env("PGPASSWORD", cluster.password()).env("PGDATA", cluster.data_dir(PRIMARY).unwrap());
    let output = script.output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    for (user, password) in [("app", "a'p"), ("pgbraid", "s")] {
        let mut login = cluster.login(PRIMARY, "shop");
        login.user(user).password(password);
        let (client, connection) = login.connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.simple_query("SELECT 1").await.unwrap();
        if user == "app" {
            client.batch_execute("CREATE TABLE t (n int)").await.unwrap();
        }
    }
    cluster.execute(PRIMARY, "postgres", "SELECT pg_reload_conf()").await.unwrap();
    let slot =
        "SELECT slot_type || ' ' || (restart_lsn IS NOT NULL) FROM pg_replication_slots WHERE slot_name = 'replica'";
    assert_eq!(cluster.value(PRIMARY, "postgres", slot).await.unwrap(), "physical true");

    // The replica's copy, by the words of its script, but for the start (which root may not do).
    let copy = tempfile::tempdir().unwrap();
    let words = text("docker/replica.sh").replace("exec postgres", "echo started with");
    let mut script = Command::new("bash");
    script.args(["-c", &words, "replica.sh", "-c", "hot_standby_feedback=on"]).env("PATH", &path).envs(passwords);
    script.env("PGDATA", copy.path()).env("PRIMARY_HOST", cluster.host());
    script.env("PRIMARY_PORT", cluster.port(PRIMARY).to_string());
    let output = script.output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("started with -c hot_standby_feedback=on"), "{}", said(&output));
    assert!(copy.path().join("standby.signal").exists());
}
