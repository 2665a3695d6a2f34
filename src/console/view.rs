//! Pages as parts: tables, pairs, steps, forms. One template shows them all, so that every page is reached by keyboard and
//! read on a phone in the same way.

use askama::Template;
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{
    COUNT_CHANGED, FORBIDDEN, FOREIGN_FORM, FOUR_EYES, LOGIN, NOT_THERE, TOO_MANY,
    account::Right,
    session::Viewer,
    words::{Lang, word},
};
use crate::{clock, error::Fault, identity, store};

/// A cell of a table.
#[derive(Debug, Clone, Default)]
pub(super) struct Cell {
    pub text: String,
    /// Where it leads; empty for nowhere.
    pub href: String,
    /// How it looks: `bad`, `good`, `number`, `code` or nothing.
    pub look: &'static str,
}

impl Cell {
    pub fn link(text: impl Into<String>, href: impl Into<String>) -> Self {
        Self { text: text.into(), href: href.into(), look: "" }
    }

    pub fn number(number: impl ToString) -> Self {
        Self { text: number.to_string(), href: String::new(), look: "number" }
    }

    /// A number that should be 0.
    pub fn fault(number: i64) -> Self {
        Self { look: if number == 0 { "number" } else { "number bad" }, ..Self::number(number) }
    }

    pub fn look(self, look: &'static str) -> Self {
        Self { look, ..self }
    }

    pub fn code(text: impl Into<String>) -> Self {
        let text: String = text.into();
        Self::from(text).look("code")
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text, ..Self::default() }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

/// A table; its caption is its name for those who do not see it.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub caption: String,
    pub heads: Vec<String>,
    pub rows: Vec<Vec<Cell>>,
}

/// One step of a life.
pub(super) struct Step {
    pub at: String,
    pub what: String,
    pub lines: Vec<String>,
    pub proof: String,
}

/// A field of a form.
pub(super) enum Input {
    Hidden { name: &'static str, value: String },
    Line { name: &'static str, label: String, value: String, kind: &'static str, fill: &'static str, needed: bool },
    Choice { name: &'static str, label: String, options: Vec<(String, String, bool)> },
}

impl Input {
    pub fn hidden(name: &'static str, value: impl Into<String>) -> Self {
        Self::Hidden { name, value: value.into() }
    }

    pub fn line(name: &'static str, label: &str, value: &str) -> Self {
        Self::Line { name, label: label.to_owned(), value: value.to_owned(), kind: "text", fill: "off", needed: false }
    }

    /// The reason that every decision needs.
    pub fn reason(lang: Lang) -> Self {
        let label = lang.t("理由（记入台账）", "Reason (goes into the ledger)").to_owned();
        Self::Line { name: "reason", label, value: String::new(), kind: "text", fill: "off", needed: true }
    }
}

/// A button with its value, and how it looks.
pub(super) struct Button {
    pub name: &'static str,
    pub value: &'static str,
    pub label: String,
}

/// A form.
pub(super) struct Form {
    pub caption: String,
    pub action: String,
    pub method: &'static str,
    pub inputs: Vec<Input>,
    pub buttons: Vec<Button>,
}

impl Form {
    /// A form that asks.
    pub fn get(caption: &str, action: &str, inputs: Vec<Input>, button: &str) -> Part {
        let buttons = vec![Button { name: "", value: "", label: button.to_owned() }];
        Part::Form(Self { caption: caption.to_owned(), action: action.to_owned(), method: "get", inputs, buttons })
    }

    /// A form that acts.
    pub fn post(caption: &str, action: String, inputs: Vec<Input>, button: &str) -> Part {
        let buttons = vec![Button { name: "", value: "", label: button.to_owned() }];
        Part::Form(Self { caption: caption.to_owned(), action, method: "post", inputs, buttons })
    }
}

/// A tile of the map.
pub(super) struct Tile {
    pub x: i32,
    pub y: i32,
    pub name: String,
    pub number: i64,
    /// 0 to 4.
    pub level: u8,
}

/// What a page consists of.
pub(super) enum Part {
    Note { look: &'static str, text: String },
    Table(Table),
    Pairs { caption: String, rows: Vec<(String, Cell)> },
    Steps { caption: String, steps: Vec<Step> },
    Form(Form),
    Text { caption: String, body: String },
    Map { caption: String, width: i32, height: i32, tiles: Vec<Tile> },
}

/// A page before it is shown.
pub(super) struct Page {
    pub title: String,
    pub parts: Vec<Part>,
    /// Seconds after which the browser asks again.
    pub again: Option<u32>,
}

impl Page {
    pub fn new(title: &str) -> Self {
        Self { title: title.to_owned(), parts: Vec::new(), again: None }
    }

    pub fn with(mut self, part: Part) -> Self {
        self.parts.push(part);
        self
    }

    pub fn note(self, look: &'static str, text: impl Into<String>) -> Self {
        self.with(Part::Note { look, text: text.into() })
    }

    pub fn table(self, caption: &str, heads: &[&str], rows: Vec<Vec<Cell>>) -> Self {
        let heads = heads.iter().map(|head| (*head).to_owned()).collect();
        self.with(Part::Table(Table { caption: caption.to_owned(), heads, rows }))
    }
}

struct Entry {
    path: &'static str,
    label: &'static str,
    here: bool,
}

#[derive(Template)]
#[template(path = "console.html")]
struct Sheet<'a> {
    lang: Lang,
    page: &'a Page,
    entries: Vec<Entry>,
    viewer: &'a Viewer,
    role: String,
    place: String,
}

/// Address, name in both languages, and the right that it needs.
const ENTRIES: [(&str, &str, &str, Option<Right>); 13] = [
    ("/console", "概览", "Overview", None),
    ("/console/records", "记录", "Records", None),
    ("/console/failures", "失败", "Failures", None),
    ("/console/reviews", "身份审核", "Identity review", Some(Right::Decide)),
    ("/console/books", "对账", "Reconciliation", None),
    ("/console/alerts", "监管预警", "Alerts", None),
    ("/console/citizens", "公民视图", "Citizens", Some(Right::Unmask)),
    ("/console/ledger", "台账", "Ledger", Some(Right::Audit)),
    ("/console/adapters", "适配器", "Adapters", None),
    ("/console/partners", "机构", "Partners", None),
    ("/console/catalogue", "数据目录", "Catalogue", None),
    ("/console/map", "县区图", "Map", None),
    ("/console/doctor", "诊断", "Doctor", Some(Right::Inspect)),
];

fn entries(viewer: &Viewer) -> Vec<Entry> {
    let path = viewer.path.split('?').next().unwrap_or_default();
    let here = |entry: &str| path == entry || entry != "/console" && path.starts_with(&format!("{entry}/"));
    let seen = ENTRIES.iter().filter(|(.., right)| !viewer.name.is_empty() && right.is_none_or(|right| viewer.may(right)));
    seen.map(|(path, zh, en, _)| Entry { path, label: viewer.lang.t(zh, en), here: here(path) }).collect()
}

/// The answer of a handler.
pub(super) fn show(viewer: &Viewer, page: Result<Page, Fault>) -> Response {
    match page {
        Ok(page) => render(viewer, &page, StatusCode::OK),
        Err(found) => fault(viewer, &found),
    }
}

/// A fault as a page, with its code and what to do.
pub(super) fn fault(viewer: &Viewer, fault: &Fault) -> Response {
    let lang = viewer.lang;
    let page = Page::new(lang.t("不能这样做", "That did not work"))
        .note("bad", zh(lang, fault).map_or_else(|| fault.to_string(), |text| format!("{text}（{}）", fault.code)));
    render(viewer, &page, status(fault))
}

/// What a fault of the console says in Chinese; others are shown as the command line shows them.
fn zh(lang: Lang, fault: &Fault) -> Option<&'static str> {
    let text = match fault.code {
        LOGIN => "姓名、密码或验证码不正确，或账号已锁定",
        FORBIDDEN => "您的角色不允许此操作",
        FOREIGN_FORM => "表单不是来自本次会话的页面，请重新打开页面后再提交",
        TOO_MANY => "请求过于频繁，请稍候几秒再试",
        NOT_THERE => "在您可查看的辖区内没有这一项",
        super::NO_REASON => "请填写理由，至少四个字，理由将记入台账",
        COUNT_CHANGED => "数量已变化，未作任何操作，请重新核对",
        FOUR_EYES => "申请人不能审批自己的申请",
        super::PERSONAL_WORD => "不能按身份证号或手机号查找，请使用业务编号",
        _ => return None,
    };
    (lang == Lang::Zh).then_some(text)
}

fn status(fault: &Fault) -> StatusCode {
    match fault.code {
        LOGIN => StatusCode::UNAUTHORIZED,
        FORBIDDEN | FOREIGN_FORM | FOUR_EYES => StatusCode::FORBIDDEN,
        TOO_MANY => StatusCode::TOO_MANY_REQUESTS,
        NOT_THERE | identity::review::NO_REVIEW | identity::hand::NO_PERSON => StatusCode::NOT_FOUND,
        COUNT_CHANGED | identity::review::DECIDED => StatusCode::CONFLICT,
        store::UNREACHABLE => StatusCode::SERVICE_UNAVAILABLE,
        store::FAILED => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

pub(super) fn render(viewer: &Viewer, page: &Page, status: StatusCode) -> Response {
    let lang = viewer.lang;
    let place = match viewer.division.as_str() {
        "" => lang.t("全省", "the province").to_owned(),
        digits => place(digits),
    };
    let sheet = Sheet { lang, page, entries: entries(viewer), viewer, role: word(lang, viewer.role.as_str()), place };
    let Ok(html) = sheet.render() else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let mut response = (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response();
    if let Some(seconds) = page.again {
        response.headers_mut().insert(header::REFRESH, HeaderValue::from(seconds));
    }
    response
}

/// The name of a division by its leading digits.
pub(super) fn place(digits: &str) -> String {
    crate::domain::division::full_name(&format!("{digits:0<12}")).unwrap_or_else(|_| digits.to_owned())
}

/// A moment as people read it.
pub(super) fn moment(millis: i64) -> String {
    if millis == 0 {
        return String::new();
    }
    let at = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000);
    let text = at.map(clock::rfc3339).unwrap_or_default();
    text.get(..19).unwrap_or(&text).replace('T', " ")
}

/// A time that has passed.
pub(super) fn span(lang: Lang, seconds: i64) -> String {
    let (number, zh, en) = match seconds {
        ..=119 => (seconds, "秒", "s"),
        120..=7_199 => (seconds / 60, "分钟", "min"),
        7_200..=172_799 => (seconds / 3600, "小时", "h"),
        _ => (seconds / 86_400, "天", "d"),
    };
    format!("{number} {}", lang.t(zh, en))
}
