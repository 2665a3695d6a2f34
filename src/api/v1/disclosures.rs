//! `/v1/disclosures`: the notices that stand today, for everybody. A JSON feed (jsonfeed.org, version 1.1), page by page.

use axum::{
    extract::{RawQuery, State},
    http::header,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{
    Api, page,
    problem::{PARAMETER, Problem},
};
use crate::{
    clock,
    disaster::{stem, whole},
    disclosure::{self, Item, Notice},
    domain::division,
};

/// `GET /v1/disclosures`
pub async fn list(State(api): State<Api>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let asked = page::notices(query.as_deref())?;
    let wrong = || Problem::from(PARAMETER).at("/query/division").detail("a division code of 2 to 12 digits");
    let place = match asked.division.as_str() {
        "" => "22".to_owned(),
        code => stem(&whole(&division::normalise(code).map_err(|_| wrong())?)).to_owned(),
    };
    let after = (asked.after.0.as_str(), asked.after.1.as_str());
    let limit = i64::from(asked.limit);
    // One more tells whether there is a next page. Only today is shown: of yesterday's notices nothing is left.
    let hub = &api.hub;
    let mut notices = disclosure::standing(&hub.store, &hub.keys, clock::today(), &place, after, limit + 1).await?;
    let more = notices.len() > asked.limit as usize;
    notices.truncate(asked.limit as usize);
    let next = notices.last().filter(|_| more).map(|last| {
        let cursor = page::notice_cursor(&last.division, &last.id);
        format!("/v1/disclosures?division={}&limit={}&after={cursor}", asked.division, asked.limit)
    });
    let mut feed = json!({
        "version": "https://jsonfeed.org/version/1.1",
        "title": "吉林省民政救助公开公示",
        "language": "zh-CN",
        "items": notices.iter().map(entry).collect::<Vec<_>>(),
    });
    if let Some(next) = next {
        feed["next_url"] = json!(next);
    }
    // A copy that is asked for again is never older than the day: a notice is gone on the day after its last.
    let headers = [(header::CONTENT_TYPE, "application/feed+json"), (header::CACHE_CONTROL, "public, no-cache")];
    Ok((headers, feed.to_string()).into_response())
}

fn entry(notice: &Notice) -> Value {
    let lines: Vec<String> = notice.items.iter().map(line).collect();
    json!({
        "id": notice.id,
        "title": notice.title,
        "date_published": format!("{}T00:00:00+08:00", notice.from),
        "content_text": if lines.is_empty() { notice.title.clone() } else { lines.join("\n") },
        "_notice": notice,
    })
}

fn line(item: &Item) -> String {
    let income = item.per_capita_income.as_ref().map_or_else(String::new, |income| format!("，人均月收入{income}元"));
    format!("{}，保障{}人{income}，月保障金额{}元", item.head_name, item.covered_count, item.amount_month)
}
