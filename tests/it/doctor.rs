//! `civilhub doctor` on set-ups that are broken on purpose: each is found by code, with the right hint, and nothing else is
//! blamed. The servers are real.

mod doors;
mod site;

use std::{fs, os::unix::fs::PermissionsExt};

use self::{
    doors::{http, tls},
    site::{Site, fails},
};
use crate::support::{broker::Broker, postgres::Postgres};

/// What breaks, and what must be said of it.
struct Case {
    name: &'static str,
    code: &'static str,
    category: &'static str,
    /// Part of the hint.
    hint: &'static str,
    spoil: fn(&mut Site),
}

/// Faults of folders, files and the configuration.
const LOCAL: &[Case] = &[
    Case {
        name: "unknown key",
        code: "CH-1001",
        category: "configuration",
        hint: "bus.partitions",
        spoil: |site| site.add("[bus]\npartition = 3\n"),
    },
    Case {
        name: "missing key",
        code: "CH-8241",
        category: "keys",
        hint: "restore it from its copy",
        spoil: |site| fs::remove_file(site.data().join("keys.toml")).unwrap(),
    },
    Case {
        name: "key for everyone",
        code: "CH-8242",
        category: "keys",
        hint: "chmod 600",
        spoil: |site| site.chmod("data/keys.toml", 0o644),
    },
    Case {
        name: "damaged key",
        code: "CH-1002",
        category: "keys",
        hint: "restore",
        spoil: |site| fs::write(site.data().join("keys.toml"), "x").unwrap(),
    },
    Case {
        name: "data folder not writable",
        code: "CH-8252",
        category: "disk",
        hint: "right to write",
        spoil: |site| site.chmod("data", 0o555),
    },
    Case {
        name: "two hubs on one folder",
        code: "CH-8253",
        category: "disk",
        hint: "another `hub.data`",
        spoil: Site::hold_lock,
    },
    Case { name: "few files", code: "CH-8291", category: "process", hint: "ulimit -n", spoil: |site| site.files = 256 },
    Case { name: "address taken", code: "CH-1009", category: "http", hint: "http.listen", spoil: Site::take_address },
    Case {
        name: "schema folder empty",
        code: "CH-8281",
        category: "schemas",
        hint: "paths.schemas",
        spoil: |site| site.schemas = site.empty("schemas"),
    },
    Case {
        name: "broken adapter",
        code: "CH-3021",
        category: "adapters",
        hint: "",
        spoil: |site| fs::write(site.path("adapters/funeral/adapter.toml"), "[system\n").unwrap(),
    },
    Case {
        name: "adapter without its file",
        code: "CH-8283",
        category: "adapters",
        hint: "put the file back",
        spoil: |site| drop(site.empty("adapters/gone")),
    },
    Case {
        name: "agreement run out",
        code: "CH-8284",
        category: "agreements",
        hint: "valid_to",
        spoil: |site| site.replace_in_partner("2027-12-31", "2017-12-31"),
    },
    Case {
        name: "unreachable partner",
        code: "CH-8261",
        category: "partners",
        hint: "queue waits",
        spoil: |site| site.partner_url("http://127.0.0.1:9/events"),
    },
    Case {
        name: "unreachable source",
        code: "CH-8271",
        category: "sources",
        hint: "network policy",
        spoil: |site| site.source("postgres://hub:geheim@127.0.0.1:9/dibao"),
    },
    Case {
        name: "source without its address",
        code: "CH-2007",
        category: "sources",
        hint: "environment",
        spoil: Site::forget_source,
    },
    Case {
        name: "database unreachable",
        code: "CH-8201",
        category: "database",
        hint: "host and port",
        spoil: |site| site.store("postgres://hub:geheim@127.0.0.1:9/hub"),
    },
    Case {
        name: "old tables",
        code: "CH-8204",
        category: "database",
        hint: "civilhub migrate",
        spoil: |site| site.sql("DELETE FROM _sqlx_migrations WHERE version = (SELECT MAX(version) FROM _sqlx_migrations)"),
    },
    Case {
        name: "newer tables",
        code: "CH-8205",
        category: "database",
        hint: "newer program",
        spoil: |site| {
            site.sql("INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'x', 1, x'00', 1)")
        },
    },
    Case {
        name: "altered tables",
        code: "CH-8206",
        category: "database",
        hint: "restore the copy",
        spoil: |site| site.sql("UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 1"),
    },
    Case {
        name: "broker unreachable",
        code: "CH-8211",
        category: "broker",
        hint: "bus.url",
        spoil: |site| site.broker("amqp://hub:geheim@127.0.0.1:9/%2f"),
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn a_sound_set_up_is_sound() {
    let site = Site::new().await;
    let (code, findings, text) = site.doctor(&[]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(findings.iter().all(|finding| finding["status"] == "ok"), "{text}");
    for finding in &findings {
        let mut keys: Vec<&str> = finding.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["category", "code", "hint", "message", "status"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn local_faults_are_found() {
    for case in LOCAL {
        let mut site = Site::new().await;
        (case.spoil)(&mut site);
        check(&site, case.name, case.code, case.category, case.hint).await;
    }
}

async fn check(site: &Site, name: &str, code: &str, category: &str, hint: &str) {
    let (exit, findings, text) = site.doctor(&[]).await;
    assert_eq!(exit, Some(1), "{name}: {text}");
    assert_eq!(fails(&findings), [code], "{name}: {text}");
    let found = findings.iter().find(|finding| finding["code"] == code).unwrap();
    assert_eq!(found["category"], category, "{name}");
    assert!(found["hint"].as_str().is_some_and(|text| text.contains(hint) && !text.is_empty()), "{name}: {found}");
    assert!(!text.contains("geheim"), "{name} shows a password: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_the_broker_are_found() {
    let good = Broker::shared().await;
    let place = good.split_once('@').unwrap().1.split('/').next().unwrap().to_owned();
    let mut site = Site::new().await;
    site.broker(&good);
    let (code, findings, text) = site.doctor(&[]).await;
    assert_eq!((code, fails(&findings)), (Some(0), vec![]), "{text}");
    assert!(text.contains("CH-8215"), "the queues are not declared yet: {text}");
    site.broker(&format!("amqp://guest:guest@127.0.0.1:9,{place}/%2f"));
    let (code, findings, text) = site.doctor(&[]).await;
    assert_eq!((code, fails(&findings)), (Some(0), vec![]), "one node is enough: {text}");
    assert!(text.contains("CH-8211"), "the other is named: {text}");
    site.broker(&format!("amqp://guest:geheim@{place}/%2f"));
    check(&site, "wrong password", "CH-8212", "broker", "CIVILHUB__BUS__URL").await;
    site.broker(&format!("amqp://guest:guest@{place}/nowhere"));
    check(&site, "missing vhost", "CH-8213", "broker", "add_vhost").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_the_database_are_found() {
    let server = Postgres::private().await;
    let place = server.url().split_once('@').unwrap().1.split('/').next().unwrap().to_owned();
    require_password(server.url()).await;
    let mut site = Site::new().await;
    site.store(&format!("postgres://locked:right@{place}/hub"));
    let (code, findings, text) = site.doctor(&["--pre"]).await;
    assert_eq!((code, fails(&findings)), (Some(0), vec![]), "{text}");
    assert!(text.contains("0 s ahead of that of the database") || text.contains("0 s behind that of the database"), "{text}");
    site.store(&format!("postgres://locked:right@127.0.0.1:9,{place}/hub"));
    let (code, findings, text) = site.doctor(&["--pre"]).await;
    assert_eq!((code, fails(&findings)), (Some(0), vec![]), "one server is enough: {text}");
    site.store(&format!("postgres://locked:geheim@{place}/hub"));
    check(&site, "wrong password", "CH-8202", "database", "pg_hba.conf").await;
    site.store(&format!("postgres://locked:right@{place}/nowhere"));
    check(&site, "no such database", "CH-8203", "database", "createdb").await;
}

/// A role that must give its password, unlike the others of the test server.
async fn require_password(url: &str) {
    let pool = sqlx::PgPool::connect(url).await.unwrap();
    sqlx::raw_sql("CREATE ROLE locked LOGIN SUPERUSER PASSWORD 'right'").execute(&pool).await.unwrap();
    let file: String = sqlx::query_scalar("SHOW hba_file").fetch_one(&pool).await.unwrap();
    let rules = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("host all locked 127.0.0.1/32 scram-sha-256\n{rules}")).unwrap();
    sqlx::raw_sql("SELECT pg_reload_conf()").execute(&pool).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_ten_minutes_off_is_found() {
    for minutes in [-10, 10] {
        let mut site = Site::new().await;
        site.partner_url(&format!("http://{}/events", http(minutes * 60).await));
        check(&site, "clock", "CH-8221", "clock", "NTP").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_looked_at() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/doctor");
    let read = |name: &str| fs::read(format!("{folder}/{name}")).unwrap();
    let address = tls(&read("expired.pem"), &read("expired.key.pem")).await;
    let mut site = Site::new().await;
    site.partner_url(&format!("https://{address}/events"));
    check(&site, "expired", "CH-8231", "certificate", "renewed").await;

    let (pem, key) = (site.path("soon.pem"), site.path("soon.key.pem"));
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "5",
            "-subj",
            "/CN=localhost",
            "-keyout",
        ])
        .arg(&key)
        .arg("-out")
        .arg(&pem)
        .output()
        .unwrap();
    assert!(made.status.success());
    let address = tls(&fs::read(&pem).unwrap(), &fs::read(&key).unwrap()).await;
    site.partner_url(&format!("https://{address}/events"));
    let (code, findings, text) = site.doctor(&[]).await;
    assert_eq!((code, fails(&findings)), (Some(0), vec![]), "{text}");
    let soon = findings.iter().find(|finding| finding["code"] == "CH-8232").unwrap();
    assert_eq!((soon["status"].as_str(), soon["category"].as_str()), (Some("warn"), Some("certificate")));
    // Five whole days are left in the second in which it was made, four after it.
    let message = soon["message"].as_str().unwrap();
    assert!(message.contains("in 4 days") || message.contains("in 5 days"), "{soon}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_found() {
    let mut site = Site::new().await;
    let small = site.empty("small");
    let mounted = std::process::Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(&small).status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no right to mount a small file system");
        return;
    }
    fs::copy(site.data().join("keys.toml"), small.join("keys.toml")).unwrap();
    fs::set_permissions(small.join("keys.toml"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::copy(site.data().join("hub.db"), small.join("hub.db")).unwrap();
    let filled = fs::write(small.join("fill"), vec![0; 8 << 20]);
    site.data = Some(small.clone());
    let looked = site.doctor(&[]).await;
    let _ = std::process::Command::new("umount").arg(&small).status();
    assert!(filled.is_err());
    let (code, findings, text) = looked;
    // The store on it cannot be opened either, and that is said as well.
    assert_eq!((code, fails(&findings)), (Some(1), vec!["CH-8207", "CH-8251"]), "{text}");
    assert!(text.contains("make room"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn before_installation_nothing_need_be_there_and_nothing_is_made() {
    let mut site = Site::new().await;
    let data = site.path("fresh/data");
    site.data = Some(data.clone());
    let (code, findings, text) = site.doctor(&["--pre"]).await;
    assert_eq!((code, fails(&findings)), (Some(0), vec![]), "{text}");
    assert!(!site.path("fresh").exists(), "looking makes nothing");
    let (code, findings, text) = site.doctor(&[]).await;
    assert_eq!((code, fails(&findings)), (Some(1), vec!["CH-8203", "CH-8241"]), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_faults_come_at_once() {
    let mut site = Site::new().await;
    site.add("[bus]\npartition = 3\n");
    site.source("postgres://hub:geheim@127.0.0.1:9/dibao");
    site.partner_url("http://127.0.0.1:9/events");
    site.chmod("data/keys.toml", 0o644);
    let (_, findings, text) = site.doctor(&[]).await;
    let mut found = fails(&findings);
    found.sort_unstable();
    assert_eq!(found, ["CH-1001", "CH-8242", "CH-8261", "CH-8271"], "{text}");
    let table = site.doctor_text(&[]).await;
    assert!(table.contains("4 faults") && !table.contains("geheim"), "{table}");
}
