//! Accounts of the console: a name, a role, perhaps a division, a password and a second factor.

use serde::Serialize;

use super::{BAD_ACCOUNT, LOGIN, WRONG_ACCOUNT, password, totp};
use crate::{
    clock,
    config::keys::Keys,
    domain::division,
    error::Fault,
    store::{Row, Store},
};

/// Failed logins after which an account is locked, and for how long.
const MOST_FAILURES: i64 = 5;
const LOCKED_MILLIS: i64 = 15 * 60 * 1000;

/// What an account is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Looks, with personal values masked.
    Viewer,
    /// Replays what failed, asks the doctor.
    Operator,
    /// Decides about persons.
    Reviewer,
    /// Reads the ledger and the views of citizens.
    Auditor,
    /// May do everything.
    Administrator,
}

/// What a page or a button needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Right {
    Replay,
    Decide,
    Unmask,
    Audit,
    Inspect,
}

impl Role {
    pub const ALL: [Self; 5] = [Self::Viewer, Self::Operator, Self::Reviewer, Self::Auditor, Self::Administrator];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Reviewer => "reviewer",
            Self::Auditor => "auditor",
            Self::Administrator => "administrator",
        }
    }

    fn parse(text: &str) -> Self {
        // What a newer program wrote may do the least.
        Self::ALL.into_iter().find(|role| role.as_str() == text).unwrap_or(Self::Viewer)
    }

    pub(crate) fn may(self, right: Right) -> bool {
        match self {
            Self::Administrator => true,
            Self::Viewer => false,
            Self::Operator => matches!(right, Right::Replay | Right::Inspect),
            Self::Reviewer => matches!(right, Right::Decide | Right::Unmask),
            Self::Auditor => matches!(right, Right::Audit | Right::Unmask),
        }
    }
}

/// An account as it may be shown.
#[derive(Debug, Clone, Serialize)]
pub struct Account {
    pub name: String,
    pub role: Role,
    /// Leading digits; empty for the province.
    pub division: String,
    pub state: String,
    pub created_at: i64,
    pub locked_until: i64,
}

/// What a new account is made of.
pub struct New<'a> {
    pub name: &'a str,
    pub role: Role,
    pub division: &'a str,
    pub password: &'a str,
}

const COLUMNS: &str = "name, role, division, state, created_at, locked_until";

fn account(row: &Row) -> Account {
    Account {
        name: row.text(0),
        role: Role::parse(&row.text(1)),
        division: row.text(2),
        state: row.text(3),
        created_at: row.int(4),
        locked_until: row.int(5),
    }
}

/// Makes an account; the secret of its second factor, in base 32, is told this once.
///
/// # Errors
/// Name, division or password do not fit; the name is taken; the store failed.
pub async fn add(store: &Store, keys: &Keys, new: &New<'_>) -> Result<String, Fault> {
    check_name(new.name)?;
    check_division(new.division)?;
    let (stored, secret) = (stored(new.password)?, totp::secret());
    let sql = "INSERT INTO console_user (name, role, division, password, totp, totp_step, state, failures, locked_until, created_at) \
               VALUES ($1, $2, $3, $4, $5, 0, 'active', 0, 0, $6) ON CONFLICT (name) DO NOTHING";
    let args = [
        new.name.into(),
        new.role.as_str().into(),
        new.division.into(),
        stored.into(),
        keys.seal(&secret).into(),
        clock::millis().into(),
    ];
    match store.write(sql, &args).await.map_err(|error| error.fault())? {
        0 => Err(Fault::new(WRONG_ACCOUNT, "there is an account of this name")
            .hint("`civilhub console user reset` gives it another password")),
        _ => Ok(totp::base32(&secret)),
    }
}

/// A new password and a new second factor for an account, which is active and not locked from then on. Its sessions end.
///
/// # Errors
/// There is no such account, the password does not fit, or the store failed.
pub async fn reset(store: &Store, keys: &Keys, name: &str, password: &str) -> Result<String, Fault> {
    let (stored, secret) = (stored(password)?, totp::secret());
    let sql = "UPDATE console_user SET password = $2, totp = $3, totp_step = 0, state = 'active', failures = 0, locked_until = 0 \
               WHERE name = $1";
    changed(store.write(sql, &[name.into(), stored.into(), keys.seal(&secret).into()]).await)?;
    end_sessions(store, name).await?;
    Ok(totp::base32(&secret))
}

/// Closes an account and ends its sessions.
///
/// # Errors
/// There is no such account, or the store failed.
pub async fn disable(store: &Store, name: &str) -> Result<(), Fault> {
    changed(store.write("UPDATE console_user SET state = 'disabled' WHERE name = $1", &[name.into()]).await)?;
    end_sessions(store, name).await
}

/// All accounts.
///
/// # Errors
/// The store failed.
pub async fn list(store: &Store) -> Result<Vec<Account>, Fault> {
    let sql = format!("SELECT {COLUMNS} FROM console_user ORDER BY name");
    Ok(store.read(&sql, &[]).await.map_err(|error| error.fault())?.iter().map(account).collect())
}

/// Whether there is any account: without one nobody can log in.
pub(super) async fn any(store: &Store) -> Result<bool, crate::store::Error> {
    Ok(!store.read("SELECT name FROM console_user WHERE state = 'active' LIMIT 1", &[]).await?.is_empty())
}

/// Tries a login. The same answer for a wrong name, password or code, and for a locked account.
pub(super) async fn login(store: &Store, keys: &Keys, name: &str, secret: &str, code: &str) -> Result<Account, Fault> {
    let refused = || Fault::new(LOGIN, "name, password or code are not right, or the account is locked");
    let failed = |error: crate::store::Error| error.fault();
    let sql = format!("SELECT {COLUMNS}, password, totp, totp_step FROM console_user WHERE name = $1");
    let rows = store.read(&sql, &[name.into()]).await.map_err(failed)?;
    let (stored, given) = (rows.first().map(|row| row.text(6)), secret.to_owned());
    let fits = tokio::task::spawn_blocking(move || password::fits(&given, stored.as_deref())).await.unwrap_or(false);
    let Some(row) = rows.first() else { return Err(refused()) };
    let (found, now) = (account(row), clock::millis());
    if found.state != "active" || found.locked_until > now {
        return Err(refused());
    }
    let key = keys.open(&row.text(7)).unwrap_or_default();
    let step = totp::accepted(&key, code, totp::step(now), row.int(8)).filter(|_| fits && !key.is_empty());
    let Some(step) = step else {
        let sql = "UPDATE console_user SET locked_until = CASE WHEN failures + 1 >= $2 THEN $3 ELSE locked_until END, \
                   failures = CASE WHEN failures + 1 >= $2 THEN 0 ELSE failures + 1 END WHERE name = $1";
        store.write(sql, &[name.into(), MOST_FAILURES.into(), (now + LOCKED_MILLIS).into()]).await.map_err(failed)?;
        return Err(refused());
    };
    // Of two at once with the same code one is too late.
    let sql = "UPDATE console_user SET totp_step = $2, failures = 0 WHERE name = $1 AND totp_step < $2";
    match store.write(sql, &[name.into(), step.into()]).await.map_err(failed)? {
        0 => Err(refused()),
        _ => Ok(found),
    }
}

async fn end_sessions(store: &Store, name: &str) -> Result<(), Fault> {
    store.write("DELETE FROM console_session WHERE name = $1", &[name.into()]).await.map_err(|error| error.fault())?;
    Ok(())
}

fn changed(rows: Result<u64, crate::store::Error>) -> Result<(), Fault> {
    match rows.map_err(|error| error.fault())? {
        0 => Err(Fault::new(WRONG_ACCOUNT, "there is no such account").hint("`civilhub console user list` shows them")),
        _ => Ok(()),
    }
}

fn check_name(name: &str) -> Result<(), Fault> {
    let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.' | b'_'));
    if plain && (2..=32).contains(&name.len()) && name.as_bytes()[0].is_ascii_lowercase() {
        return Ok(());
    }
    Err(Fault::new(BAD_ACCOUNT, "the name cannot be used")
        .expected("2 to 32 small letters, digits, `-`, `.` or `_`, a letter first; it stands in the ledger"))
}

fn check_division(digits: &str) -> Result<(), Fault> {
    let whole = || format!("{digits:0<12}");
    if digits.is_empty() || matches!(digits.len(), 4 | 6 | 9 | 12) && division::find(&whole()).is_some() {
        return Ok(());
    }
    Err(Fault::new(BAD_ACCOUNT, "there is no such division")
        .expected("4, 6, 9 or 12 digits: a prefecture, county, township or community"))
}

fn stored(secret: &str) -> Result<String, Fault> {
    let bad = |text: &str| {
        Fault::new(BAD_ACCOUNT, text).expected(format!("{} to {} characters", password::SHORTEST, password::LONGEST))
    };
    if !(password::SHORTEST..=password::LONGEST).contains(&secret.chars().count()) {
        return Err(bad("the password is too short or too long"));
    }
    password::store(secret).ok_or_else(|| bad("the password cannot be stored"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_have_their_rights_and_no_other() {
        let rights = |role: Role| {
            [Right::Replay, Right::Decide, Right::Unmask, Right::Audit, Right::Inspect].map(|right| u8::from(role.may(right)))
        };
        assert_eq!(rights(Role::Viewer), [0, 0, 0, 0, 0]);
        assert_eq!(rights(Role::Operator), [1, 0, 0, 0, 1]);
        assert_eq!(rights(Role::Reviewer), [0, 1, 1, 0, 0]);
        assert_eq!(rights(Role::Auditor), [0, 0, 1, 1, 0]);
        assert_eq!(rights(Role::Administrator), [1, 1, 1, 1, 1]);
        assert_eq!(Role::parse("emperor"), Role::Viewer);
    }

    #[test]
    fn names_and_divisions_are_checked() {
        for (name, good) in
            [("li.wei", true), ("a1", true), ("A1", false), ("1a", false), ("a", false), ("张伟", false), ("a b", false)]
        {
            assert_eq!(check_name(name).is_ok(), good, "{name}");
        }
        for (digits, good) in [("", true), ("2201", true), ("220104", true), ("999999", false), ("22", false), ("abc", false)] {
            assert_eq!(check_division(digits).is_ok(), good, "{digits}");
        }
    }
}
