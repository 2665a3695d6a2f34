//! Sessions: what a browser holds is a random word; the store has its hash. They end after half an hour without a page, after
//! twelve hours, and when the account has more than five.

use std::sync::Arc;

use axum::{
    extract::FromRequestParts,
    http::{StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use rand::RngCore;
use sha2::{Digest, Sha256};

use super::{
    Console, FORBIDDEN,
    account::{Account, Right, Role},
    guard::cookie,
    view,
    words::Lang,
};
use crate::{
    clock,
    error::Fault,
    store::{Error, Store},
};

/// The cookie with the session's word, and the one with the language.
pub(super) const COOKIE: &str = "civilhub_session";
pub(super) const LANGUAGE: &str = "civilhub_lang";
/// Seconds that a session lives at most.
pub(super) const LIFE_SECONDS: i64 = 12 * 3600;
const IDLE_MILLIS: i64 = 30 * 60 * 1000;
/// How exactly it is noted when a session was last used.
const NOTED_MILLIS: i64 = 60 * 1000;
const MOST_SESSIONS: i64 = 5;

/// Who looks at a page.
#[derive(Debug, Clone)]
pub(super) struct Viewer {
    pub name: String,
    pub role: Role,
    /// Leading digits; empty for the province.
    pub division: String,
    pub csrf: String,
    pub lang: Lang,
    /// Hash of the session's word.
    pub session: String,
    /// The page that is asked for, for the switch of language.
    pub path: String,
}

impl Viewer {
    /// Somebody who has not logged in.
    pub fn nobody(parts: &Parts) -> Self {
        Self {
            name: String::new(),
            role: Role::Viewer,
            division: String::new(),
            csrf: String::new(),
            lang: cookie(&parts.headers, LANGUAGE).and_then(Lang::parse).unwrap_or_default(),
            session: String::new(),
            path: parts.uri.path_and_query().map_or_else(|| "/console".to_owned(), ToString::to_string),
        }
    }

    /// Whether something of that division may be seen. What has no division is the province's.
    pub fn sees(&self, division: &str) -> bool {
        self.division.is_empty() || division.starts_with(&self.division)
    }

    pub fn may(&self, right: Right) -> bool {
        self.role.may(right)
    }

    /// Refuses who has not the right.
    pub fn need(&self, right: Right) -> Result<(), Fault> {
        if self.may(right) {
            return Ok(());
        }
        Err(Fault::new(FORBIDDEN, format!("the role `{}` does not allow this", self.role.as_str()))
            .hint("ask an administrator of the console"))
    }
}

impl FromRequestParts<Arc<Console>> for Viewer {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, console: &Arc<Console>) -> Result<Self, Response> {
        let nobody = Self::nobody(parts);
        let Some(word) = cookie(&parts.headers, COOKIE).filter(|word| word.len() == 64) else { return Err(to_login()) };
        let id = hash(word);
        match find(&console.hub.store, &id).await {
            Ok(Some((name, role, division, csrf))) => {
                let viewer = Self { name, role, division, csrf, session: id, ..nobody };
                console.admit(&viewer.session).map_err(|fault| view::fault(&viewer, &fault))?;
                Ok(viewer)
            }
            Ok(None) => Err(to_login()),
            Err(error) => Err(view::fault(&nobody, &error.fault())),
        }
    }
}

fn to_login() -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, "/console/login")]).into_response()
}

fn hash(word: &str) -> String {
    hex::encode(Sha256::digest(word.as_bytes()))
}

fn random() -> String {
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    hex::encode(bytes)
}

async fn find(store: &Store, id: &str) -> Result<Option<(String, Role, String, String)>, Error> {
    let sql = "SELECT s.name, s.csrf, s.created_at, s.seen_at, u.role, u.division FROM console_session s \
               JOIN console_user u ON u.name = s.name WHERE s.id = $1 AND u.state = 'active'";
    let rows = store.read(sql, &[id.into()]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let now = clock::millis();
    if now - row.int(2) > LIFE_SECONDS * 1000 || now - row.int(3) > IDLE_MILLIS {
        end(store, id).await?;
        return Ok(None);
    }
    if now - row.int(3) > NOTED_MILLIS {
        store.write("UPDATE console_session SET seen_at = $2 WHERE id = $1", &[id.into(), now.into()]).await?;
    }
    let role = Role::ALL.into_iter().find(|role| role.as_str() == row.text(4)).unwrap_or(Role::Viewer);
    Ok(Some((row.text(0), role, row.text(5), row.text(1))))
}

/// Begins a session; the word for the browser.
pub(super) async fn begin(store: &Store, account: &Account) -> Result<String, Error> {
    let (word, now) = (random(), clock::millis());
    let mut tx = store.begin().await?;
    let sql = "INSERT INTO console_session (id, name, csrf, created_at, seen_at) VALUES ($1, $2, $3, $4, $4)";
    tx.execute(sql, &[hash(&word).into(), account.name.as_str().into(), random().into(), now.into()]).await?;
    let sql = "DELETE FROM console_session WHERE created_at < $2 OR seen_at < $3 OR name = $1 AND id NOT IN \
               (SELECT id FROM console_session WHERE name = $1 ORDER BY created_at DESC, id LIMIT $4)";
    let args =
        [account.name.as_str().into(), (now - LIFE_SECONDS * 1000).into(), (now - IDLE_MILLIS).into(), MOST_SESSIONS.into()];
    tx.execute(sql, &args).await?;
    tx.commit().await?;
    Ok(word)
}

/// Ends a session.
pub(super) async fn end(store: &Store, id: &str) -> Result<(), Error> {
    store.write("DELETE FROM console_session WHERE id = $1", &[id.into()]).await.map(|_| ())
}
