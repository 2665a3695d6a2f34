//! Coming in and going out, and the language.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{RawQuery, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::super::{
    Console,
    account::{self, Account},
    form::{Act, Fields, foreign, is_own},
    guard::{cookie, secure},
    password,
    session::{self, COOKIE, LANGUAGE, LIFE_SECONDS, Viewer},
    view::{Button, Form, Input, Page, Part, fault, render},
    words::Lang,
};
use crate::error::Fault;

/// `GET /console/login`
pub(in super::super) async fn page(State(console): State<Arc<Console>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let viewer = Viewer::nobody(&parts);
    let none = !account::any(&console.hub.store).await.unwrap_or(true);
    render(&viewer, &sheet(viewer.lang, none, false), StatusCode::OK)
}

fn sheet(lang: Lang, none: bool, refused: bool) -> Page {
    let mut page = Page::new(lang.t("登录", "Log in"));
    if none {
        let text = lang.t(
            "还没有账号。请在枢纽所在的机器上运行：civilhub console user add <名字> --role administrator",
            "There are no accounts yet. On the machine of the hub: civilhub console user add <name> --role administrator",
        );
        page = page.note("", text);
    }
    if refused {
        let text =
            lang.t("姓名、密码或验证码不正确，或账号已锁定", "Name, password or code are not right, or the account is locked");
        page = page.note("bad", text);
    }
    let line = |name, label: &str, kind, fill| Input::Line {
        name,
        label: label.to_owned(),
        value: String::new(),
        kind,
        fill,
        needed: true,
    };
    let inputs = vec![
        line("name", lang.t("姓名", "Name"), "text", "username"),
        line("password", lang.t("密码", "Password"), "password", "current-password"),
        line("code", lang.t("验证码（六位）", "Code (six digits)"), "text", "one-time-code"),
    ];
    let buttons = vec![Button { name: "", value: "", label: lang.t("登录", "Log in").to_owned() }];
    let caption = lang.t("账号", "Account").to_owned();
    page.with(Part::Form(Form { caption, action: "/console/login".to_owned(), method: "post", inputs, buttons }))
}

/// `POST /console/login`
pub(in super::super) async fn enter(State(console): State<Arc<Console>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let viewer = Viewer::nobody(&parts);
    if !is_own(&parts.headers) {
        return fault(&viewer, &foreign());
    }
    let Ok(bytes) = axum::body::to_bytes(body, super::MOST_BYTES).await else { return fault(&viewer, &foreign()) };
    match attempt(&console, &bytes).await {
        Ok(account) => match session::begin(&console.hub.store, &account).await {
            Ok(word) => entered(&parts.headers, &word),
            Err(error) => fault(&viewer, &error.fault()),
        },
        Err(found) if found.code == super::super::LOGIN => {
            render(&viewer, &sheet(viewer.lang, false, true), StatusCode::UNAUTHORIZED)
        }
        Err(found) => fault(&viewer, &found),
    }
}

async fn attempt(console: &Console, bytes: &Bytes) -> Result<Account, Fault> {
    console.admit_login()?;
    let fields = Fields::parse(bytes);
    let secret = fields.get("password");
    let _turn = console.trying.acquire().await;
    let secret = if secret.chars().count() > password::LONGEST { "" } else { secret };
    account::login(&console.hub.store, &console.hub.keys, fields.get("name"), secret, fields.get("code")).await
}

fn entered(headers: &HeaderMap, word: &str) -> Response {
    let cookie = format!("{COOKIE}={word}; Path=/console; HttpOnly; SameSite=Lax; Max-Age={LIFE_SECONDS}{}", secure(headers));
    (StatusCode::SEE_OTHER, [(header::SET_COOKIE, cookie), (header::LOCATION, "/console".to_owned())]).into_response()
}

/// `POST /console/logout`
pub(in super::super) async fn leave(State(console): State<Arc<Console>>, act: Act) -> Response {
    if let Err(error) = session::end(&console.hub.store, &act.viewer.session).await {
        return fault(&act.viewer, &error.fault());
    }
    let gone = format!("{COOKIE}=; Path=/console; HttpOnly; SameSite=Lax; Max-Age=0");
    (StatusCode::SEE_OTHER, [(header::SET_COOKIE, gone), (header::LOCATION, "/console/login".to_owned())]).into_response()
}

/// `GET /console/language?to=en&back=/console/…`
pub(in super::super) async fn language(headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let fields = Fields::parse(query.unwrap_or_default().as_bytes());
    let now = cookie(&headers, LANGUAGE).and_then(Lang::parse).unwrap_or_default();
    let lang = Lang::parse(fields.get("to")).unwrap_or(now);
    let set = format!("{LANGUAGE}={}; Path=/console; SameSite=Lax; Max-Age=31536000{}", lang.code(), secure(&headers));
    (StatusCode::SEE_OTHER, [(header::SET_COOKIE, set), (header::LOCATION, back(fields.get("back")))]).into_response()
}

/// Only to pages of the console.
fn back(path: &str) -> String {
    let own = path == "/console" || ["/console/", "/console?"].iter().any(|start| path.starts_with(start));
    let plain = path.bytes().all(|byte| byte.is_ascii_graphic()) && !path.contains('\\') && !path.contains("//");
    if own && plain { path.to_owned() } else { "/console".to_owned() }
}

/// `GET /console/style.css`
pub(in super::super) async fn style() -> Response {
    kept("text/css; charset=utf-8", include_str!("../style.css"))
}

/// `GET /console/icon.svg`
pub(in super::super) async fn icon() -> Response {
    kept("image/svg+xml", include_str!("../icon.svg"))
}

fn kept(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "public, max-age=3600")], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_switch_of_language_leads_nowhere_else() {
        for path in ["/console", "/console/records?q=a%20b", "/console?again=10"] {
            assert_eq!(back(path), path);
        }
        for path in [
            "",
            "//evil.example",
            "https://evil.example",
            "/consoles",
            "/console/\r\nX: y",
            "/console//evil.example",
            "/console/\\evil",
        ] {
            assert_eq!(back(path), "/console", "{path}");
        }
    }
}
