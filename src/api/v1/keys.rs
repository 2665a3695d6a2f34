//! Keys of partners: serial numbers, the overlap of old and new, and `/v1/keys`.

use axum::{
    Extension, Json,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Api, Caller, body,
    problem::{CONFLICT, INVALID, NOT_FOUND, Problem},
};
use crate::{
    clock,
    signature::algorithm::{self, Verify},
    store::{Error, Store},
};

/// Milliseconds that an old key stays good beside a new one, unless it is retired before.
pub const OVERLAP: i64 = 7 * 86_400_000;

/// The most keys of a partner that are good at one time.
const MOST: i64 = 4;

/// A stored key.
pub struct Key {
    pub partner: String,
    pub serial: i64,
    pub public: String,
    pub added_at: i64,
    /// 0: without an end.
    pub valid_to: i64,
}

impl Key {
    /// As signatures name it.
    pub fn id(&self) -> String {
        format!("{}/{}", self.partner, self.serial)
    }

    pub fn is_valid(&self, now: i64) -> bool {
        self.valid_to == 0 || now < self.valid_to
    }

    fn show(&self, used: i64) -> Value {
        let moment = |millis: i64| time::OffsetDateTime::from_unix_timestamp(millis / 1000).map(clock::rfc3339).ok();
        json!({
            "keyid": self.id(),
            "serial": self.serial,
            "public_key": self.public,
            "added_at": moment(self.added_at),
            "valid_to": if self.valid_to == 0 { None } else { moment(self.valid_to) },
            "valid": self.is_valid(clock::millis()),
            "in_use": self.serial == used,
        })
    }
}

/// All keys of a partner, old ones too.
pub async fn of(store: &Store, partner: &str) -> Result<Vec<Key>, Error> {
    let sql = "SELECT serial, public_key, added_at, valid_to FROM partner_key WHERE partner = $1 ORDER BY serial";
    let rows = store.read(sql, &[partner.into()]).await?;
    let key = |row: &crate::store::Row| Key {
        partner: partner.to_owned(),
        serial: row.int(0),
        public: row.text(1),
        added_at: row.int(2),
        valid_to: row.int(3),
    };
    Ok(rows.iter().map(key).collect())
}

/// The key that a signature names, if it is good now.
pub async fn find(store: &Store, keyid: &str) -> Result<Option<(Key, Box<dyn Verify>)>, Error> {
    let Some((partner, serial)) = keyid.rsplit_once('/') else { return Ok(None) };
    let Ok(serial) = serial.parse::<i64>() else { return Ok(None) };
    let found = of(store, partner).await?.into_iter().find(|key| key.serial == serial && key.is_valid(clock::millis()));
    Ok(found.and_then(|key| algorithm::public(&key.public).ok().map(|public| (key, public))))
}

/// Adds a key; those before it stay good for the overlap. The same key again has the serial it has.
pub async fn add(store: &Store, partner: &str, public: &dyn Verify, by: &str) -> Result<Option<Key>, Error> {
    let (now, text) = (clock::millis(), public.write());
    let mut tx = store.begin().await?;
    let rows = tx
        .read("SELECT serial, public_key, valid_to FROM partner_key WHERE partner = $1 ORDER BY serial", &[partner.into()])
        .await?;
    let known = rows.iter().find(|row| row.text(1) == text);
    if let Some(row) = known {
        let key = Key { partner: partner.to_owned(), serial: row.int(0), public: text, added_at: now, valid_to: row.int(2) };
        // A key that was retired does not come back to life.
        return Ok(key.is_valid(now).then_some(key));
    }
    let good = rows.iter().filter(|row| row.int(2) == 0 || now < row.int(2)).count();
    if good as i64 >= MOST {
        return Ok(None);
    }
    let serial = rows.last().map_or(0, |row| row.int(0)) + 1;
    let ending = "UPDATE partner_key SET valid_to = $2 WHERE partner = $1 AND valid_to = 0";
    tx.execute(ending, &[partner.into(), (now + OVERLAP).into()]).await?;
    let sql =
        "INSERT INTO partner_key (partner, serial, public_key, added_at, valid_to, added_by) VALUES ($1, $2, $3, $4, 0, $5)";
    tx.execute(sql, &[partner.into(), serial.into(), text.as_str().into(), now.into(), by.into()]).await?;
    tx.commit().await?;
    Ok(Some(Key { partner: partner.to_owned(), serial, public: text, added_at: now, valid_to: 0 }))
}

/// Ends a key now; says whether there was one to end.
pub async fn retire(store: &Store, partner: &str, serial: i64) -> Result<bool, Error> {
    let now = clock::millis();
    let sql = "UPDATE partner_key SET valid_to = $3 WHERE partner = $1 AND serial = $2 AND (valid_to = 0 OR valid_to > $3)";
    Ok(store.write(sql, &[partner.into(), serial.into(), now.into()]).await? > 0)
}

/// `GET /v1/keys`
pub async fn list(State(api): State<Api>, Extension(caller): Extension<Caller>) -> Result<Response, Problem> {
    let keys = of(&api.hub.store, &caller.partner).await?;
    let keys: Vec<Value> = keys.iter().map(|key| key.show(caller.serial)).collect();
    Ok(Json(json!({ "keys": keys })).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewKey {
    public_key: String,
}

/// `POST /v1/keys`
pub async fn create(State(api): State<Api>, Extension(caller): Extension<Caller>, bytes: Bytes) -> Result<Response, Problem> {
    let new: NewKey = body(&bytes)?;
    let public = algorithm::public(&new.public_key).map_err(|_| Problem::from(INVALID).at("/public_key"))?;
    match add(&api.hub.store, &caller.partner, public.as_ref(), &format!("key {}", caller.serial)).await? {
        Some(key) => Ok((StatusCode::CREATED, Json(key.show(caller.serial))).into_response()),
        None => Err(Problem::from(CONFLICT).detail("the key was retired before, or four keys are good already: retire one")),
    }
}

/// `DELETE /v1/keys/{serial}`
pub async fn remove(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    Path(serial): Path<String>,
) -> Result<Response, Problem> {
    let serial: i64 = serial.parse().map_err(|_| Problem::from(NOT_FOUND))?;
    if serial == caller.serial {
        return Err(Problem::from(CONFLICT).detail("a key does not retire itself: sign with the new one"));
    }
    if retire(&api.hub.store, &caller.partner, serial).await? {
        Ok(StatusCode::NO_CONTENT.into_response())
    } else {
        Err(NOT_FOUND.into())
    }
}
