//! MariaDB: the one of the suite, or a private one.

use sqlx::{AnyPool, AssertSqlSafe, any::AnyPoolOptions};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::{script, unique};

/// A server of this process. It ends with the process.
pub struct MariaDb {
    _dir: TempDir,
    url: String,
}

impl MariaDb {
    async fn private() -> Self {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        let home = dir.path().join("mariadb").display().to_string();
        let url = script("mariadb.sh", &["up", &home, &std::process::id().to_string()]).await;
        Self { _dir: dir, url }
    }

    /// URL of a new database on the server of the suite: `CIVILHUB_TEST_MYSQL`, or one that this process starts for all
    /// its tests.
    pub async fn database() -> String {
        static SHARED: OnceCell<MariaDb> = OnceCell::const_new();
        let url = match std::env::var("CIVILHUB_TEST_MYSQL") {
            Ok(url) => url,
            Err(_) => SHARED.get_or_init(Self::private).await.url.clone(),
        };
        let name = unique("legacy");
        sqlx::any::install_default_drivers();
        let admin: AnyPool = AnyPoolOptions::new().max_connections(1).connect(&url).await.unwrap();
        let make = format!("CREATE DATABASE {name} CHARACTER SET utf8mb4");
        sqlx::raw_sql(AssertSqlSafe(make)).execute(&admin).await.unwrap();
        format!("{}/{name}", url.rsplit_once('/').unwrap().0)
    }
}
