//! `smart-community`: a vendor that posts XML, and others that sign in its name.

use civilhub::{
    adapter::{
        decode::{self, xml},
        source::http_push,
    },
    clock,
    error::Code,
};
use encoding_rs::GBK;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use super::hub::{Hub, PUSH_SECRET};

const SYSTEM: &str = "smart-community";

async fn push(hub: &Hub, vendor: &str, id: &str, body: Vec<u8>) -> (u16, Value) {
    let timestamp = clock::now().unix_timestamp().to_string();
    // The variables of the tests give each vendor the common secret with its name behind it.
    let mut mac = Hmac::<Sha256>::new_from_slice(format!("{PUSH_SECRET}-chuanying").as_bytes()).unwrap();
    mac.update(format!("{timestamp}.").as_bytes());
    mac.update(&body);
    let signature = hex::encode(mac.finalize().into_bytes());
    let http = reqwest::Client::builder().timeout(std::time::Duration::from_secs(30)).build().unwrap();
    let mut request = http.post(format!("{}/in/{SYSTEM}/{vendor}", hub.url)).body(body);
    for names in [["X-CY-Sign", "X-CY-Time", "X-CY-Id"], ["X-Signature", "X-Timestamp", "X-Delivery-Id"]] {
        request = request.header(names[0], &signature).header(names[1], &timestamp).header(names[2], id);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default())
}

fn gbk(events: &str) -> Vec<u8> {
    GBK.encode(&format!("<?xml version=\"1.0\" encoding=\"GBK\"?>\n<EVENTS>{events}</EVENTS>")).0.into_owned()
}

fn event(number: u32, more: &str) -> String {
    format!(
        "<EVENT><ID>CY{number:04}</ID><GRIDCODE>220171001004001</GRIDCODE><TYPE>LS</TYPE><STATUS>1</STATUS><RESIDENTNAME>王建国</RESIDENTNAME>\
         <TS>20170703090000</TS>{more}</EVENT>"
    )
}

pub async fn all(hub: &mut Hub) {
    answered(hub).await;
    let (status, _) = push(hub, "chuanying", "good", gbk(&event(900, ""))).await;
    assert_eq!(status, 202);
    hub.comes(SYSTEM, "none", &[], 1).await;
}

/// Bodies that are told what is wrong with them; nothing of them goes on.
async fn answered(hub: &mut Hub) {
    let attributes: String = (0..80_000).map(|n| format!(" a{n}=''")).collect();
    let utf8 = gbk("").len();
    let cases: Vec<(Vec<u8>, u16, Code)> = vec![
        (b"<!DOCTYPE e [<!ENTITY a 'ha'><!ENTITY b '&a;&a;'>]><EVENTS/>".to_vec(), 400, xml::DTD),
        (b"<!DOCTYPE e SYSTEM 'file:///etc/passwd'><EVENTS/>".to_vec(), 400, xml::DTD),
        (gbk(&event(1, "<X>&x;</X>")), 400, xml::ENTITY),
        (gbk(&format!("<EVENT{attributes}/>")), 400, xml::ATTRIBUTES),
        (gbk(&"<EVENT>".repeat(50_000)), 400, xml::DEPTH),
        (gbk(&event(2, "<X>"))[..utf8 + 40].to_vec(), 400, xml::SYNTAX),
        (b"{\"ID\":\"CY0003\"}".to_vec(), 400, xml::SYNTAX),
        (format!("<?xml version='1.0' encoding='UTF-8'?><EVENTS>{}</EVENTS>", event(4, "")).into_bytes(), 400, xml::DECLARED),
        ([gbk("")[..utf8 - 9].to_vec(), b"<EVENT>\xff\xff</EVENT></EVENTS>".to_vec()].concat(), 400, decode::ENCODING),
        (b"<LIST/>".to_vec(), 400, xml::PATH),
        (gbk(&"<EVENT/>".repeat(1001)), 413, http_push::TOO_MANY_ROWS),
        (gbk(&event(5, &"x".repeat(2 << 20))), 413, civilhub::json::TOO_LARGE),
    ];
    for (number, (body, expected, code)) in cases.into_iter().enumerate() {
        let started = std::time::Instant::now();
        let (status, problem) = push(hub, "chuanying", &format!("hostile-{number}"), body).await;
        assert_eq!((status, problem["code"].as_str()), (expected, Some(code.to_string().as_str())), "{number}: {problem}");
        assert!(started.elapsed().as_secs() < 5, "{number} took {:?}", started.elapsed());
    }
    // A secret opens one door.
    let (status, problem) = push(hub, "dongzhan", "other", b"{}".to_vec()).await;
    assert_eq!((status, problem["code"].as_str()), (401, Some("CH-2091")));
}
