//! Queries and answers as XML, for the banks that speak it.
//!
//! ```xml
//! <AssetQuery><QueryNo/><Name/><IdType/><IdNumber/><AsOf/></AssetQuery>
//! <AssetAnswer><QueryNo/><Name/><IdType/><IdNumber/><Outcome/><Account><AccountNo/><AccountType/><AccountStatus/>
//!   <Currency/><Balance/><WealthValue/><Joint/><LargeOutflow><Date/><Amount/></LargeOutflow></Account></AssetAnswer>
//! ```

use serde_json::{Map, Value, json};

use crate::{
    adapter::decode::xml::{Rules, document},
    error::Fault,
    exchange::BAD_ANSWER,
};

/// Largest answer, as of the client that reads it.
const MOST_BYTES: u64 = 64 * 1024;

/// A query as a document in UTF-8.
pub(super) fn query(record: &Value) -> String {
    let subject = &record["subject"];
    let element = |name: &str, value: &Value| format!("<{name}>{}</{name}>", escaped(value.as_str().unwrap_or_default()));
    let inner = [
        element("QueryNo", &record["query_no"]),
        element("Name", &subject["name"]),
        element("IdType", &subject["id_type"]),
        element("IdNumber", &subject["id_number"]),
        element("AsOf", &record["as_of"]),
    ];
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<AssetQuery>{}</AssetQuery>", inner.concat())
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // What XML cannot hold at all.
            c if c.is_control() && !matches!(c, '\t' | '\n' | '\r') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// An answer in the form that JSON has.
///
/// # Errors
/// What is no such document.
pub(super) fn answer(bytes: &[u8]) -> Result<Value, Fault> {
    let wrong = || Fault::new(BAD_ANSWER, "the answer is not of the agreed form").expected("one AssetAnswer");
    let options = toml::Table::from_iter([
        ("rows".to_owned(), toml::Value::from("AssetAnswer")),
        ("lists".to_owned(), toml::Value::Array(vec!["Account".into()])),
    ]);
    let rules = Rules::new(&options).map_err(|_| wrong())?.at_most(MOST_BYTES);
    let rows = document(bytes, &rules)?.rows;
    let [Ok(row)] = rows.as_slice() else { return Err(wrong()) };
    let root = row.data.as_object().ok_or_else(wrong)?;
    let accounts = match root.get("Account") {
        Some(Value::Array(list)) => {
            list.iter().map(|one| one.as_object().map(account)).collect::<Option<Vec<_>>>().ok_or_else(wrong)?
        }
        Some(_) => return Err(wrong()),
        None => Vec::new(),
    };
    Ok(json!({
        "query_no": text(root, "QueryNo"),
        "subject": { "name": text(root, "Name"), "id_type": text(root, "IdType"), "id_number": text(root, "IdNumber") },
        "outcome": text(root, "Outcome"),
        "answers": accounts,
    }))
}

/// The text of an element, also of one with attributes.
fn text(element: &Map<String, Value>, name: &str) -> String {
    let value = element.get(name).unwrap_or(&Value::Null);
    value.get("#text").unwrap_or(value).as_str().unwrap_or_default().trim().to_owned()
}

fn account(element: &Map<String, Value>) -> Value {
    let mut account = json!({ "account_no": text(element, "AccountNo"), "account_type": text(element, "AccountType"),
        "account_status": text(element, "AccountStatus"), "joint": text(element, "Joint") == "true" });
    for (name, field) in [("currency", "Currency"), ("balance", "Balance"), ("wealth_value", "WealthValue")] {
        let value = text(element, field);
        if !value.is_empty() {
            account[name] = value.into();
        }
    }
    let outflows = match element.get("LargeOutflow") {
        Some(Value::Array(list)) => list.iter().collect(),
        Some(one) => vec![one],
        None => Vec::new(),
    };
    let outflow = |one: &Value| one.as_object().map(|one| json!({ "date": text(one, "Date"), "amount": text(one, "Amount") }));
    account["large_outflows"] = outflows.into_iter().filter_map(outflow).collect();
    account
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_five_fields_and_an_answer_comes_back() {
        let record = json!({ "query_no": "Q-1", "subject": { "name": "王<&>国", "id_type": "01", "id_number": "220171197001010053" }, "as_of": "2017-06-30" });
        let document = query(&record);
        assert!(document.ends_with(
            "<AssetQuery><QueryNo>Q-1</QueryNo><Name>王&lt;&amp;&gt;国</Name><IdType>01</IdType><IdNumber>220171197001010053</IdNumber><AsOf>2017-06-30</AsOf></AssetQuery>"
        ));
        let text = "<AssetAnswer><QueryNo>Q-1</QueryNo><Name>王&lt;&amp;&gt;国</Name><IdType>01</IdType><IdNumber>220171197001010053</IdNumber>\
                    <Outcome>FOUND</Outcome><Account><AccountNo>0001</AccountNo><Currency>CNY</Currency><Balance>5.00</Balance><Joint>true</Joint>\
                    <LargeOutflow><Date>2017-03-01</Date><Amount>9.00</Amount></LargeOutflow></Account></AssetAnswer>";
        let read = answer(text.as_bytes()).unwrap();
        assert_eq!((&read["subject"], &read["outcome"]), (&record["subject"], &json!("FOUND")));
        let account = &read["answers"][0];
        assert_eq!(
            (&account["balance"], &account["joint"], &account["large_outflows"][0]["amount"]),
            (&json!("5.00"), &json!(true), &json!("9.00"))
        );
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for text in [
            "",
            "hello",
            "<AssetAnswer>",
            "<Other/>",
            "<AssetAnswer/><AssetAnswer/>",
            "<!DOCTYPE a [<!ENTITY x \"y\">]><AssetAnswer>&x;</AssetAnswer>",
            "<AssetAnswer><Account>5</Account></AssetAnswer>",
        ] {
            assert!(answer(text.as_bytes()).is_err(), "{text}");
        }
    }
}
