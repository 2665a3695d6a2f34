//! A SOAP service that behaves as those of the field: totals that move, return codes, faults, documents in CDATA.

use std::sync::Mutex;

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};

use super::{http::serve, *};

#[derive(Default)]
struct Service {
    rows: Mutex<Vec<(String, String)>>,
    calls: AtomicUsize,
    asked: Mutex<Vec<String>>,
    /// Answers given before the rows.
    first: Mutex<Vec<(u16, String)>>,
    /// Most rows of a page, whatever is asked for.
    most: AtomicUsize,
}

fn envelope(document: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\"><soapenv:Body>\
         <ns1:queryResponse xmlns:ns1=\"http://sample/\"><return xsi:type=\"xsd:string\" xmlns:xsi=\"x\">{document}</return></ns1:queryResponse>\
         </soapenv:Body></soapenv:Envelope>"
    )
}

fn fault(code: &str) -> String {
    format!(
        "<e:Envelope xmlns:e='x'><e:Body><e:Fault><faultcode>e:{code}</faultcode><faultstring>王建国</faultstring></e:Fault></e:Body></e:Envelope>"
    )
}

fn document(code: &str, total: usize, rows: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"GBK\"?><response><returnCode>{code}</returnCode><total>{total}</total><list>{rows}</list></response>"
    )
}

/// The text of an element of the request.
fn parameter<'a>(body: &'a str, name: &str) -> &'a str {
    body.split(&format!("<{name}>")).nth(1).and_then(|rest| rest.split("</").next()).unwrap_or_default()
}

async fn answer(State(service): State<Arc<Service>>, headers: HeaderMap, body: String) -> Response {
    let call = service.calls.fetch_add(1, Ordering::SeqCst);
    assert_eq!(headers["soapaction"], "\"http://sample/query\"");
    assert_eq!((parameter(&body, "user"), body.contains("<n:query xmlns:n=\"http://sample/\">")), ("a&amp;b", true));
    service.asked.lock().unwrap().push(parameter(&body, "begin").to_owned());
    if let Some((status, text)) = service.first.lock().unwrap().pop() {
        return (StatusCode::from_u16(status).unwrap(), text).into_response();
    }
    let (page, size): (usize, usize) =
        (parameter(&body, "pageNo").parse().unwrap(), parameter(&body, "pageSize").parse().unwrap());
    let begin = parameter(&body, "begin").to_owned();
    let mut rows: Vec<(String, String)> = service.rows.lock().unwrap().iter().filter(|row| row.1 >= begin).cloned().collect();
    // The total moves from call to call, and on the second a row has changed its page.
    let total = rows.len() + call % 3;
    if call == 1 && page == 2 {
        rows.rotate_left(1);
    }
    let most = service.most.load(Ordering::SeqCst);
    let size = if most > 0 { most.min(size) } else { size };
    let row = |(no, time): (String, String)| format!("<row><no>{no}</no><name>李]]&gt;四</name><time>{time}</time></row>");
    let rows: String = rows.into_iter().skip((page - 1) * size).take(size).map(row).collect();
    let text = document("00000", total, &rows);
    // Half of the services escape the document instead.
    let escaped = text.replace('&', "&amp;").replace('<', "&lt;");
    envelope(&if page % 2 == 1 { format!("<![CDATA[{text}]]>") } else { escaped }).into_response()
}

async fn start() -> (Arc<Service>, String) {
    let service = Arc::new(Service::default());
    let base = serve(Router::new().route("/ws", post(answer)).with_state(Arc::clone(&service))).await;
    let source = format!(
        "kind = 'soap'\nurl = '{base}/ws'\nnamespace = 'http://sample/'\nparameters = [{{ name = 'user', value = 'a&b' }}]\ntimeout = '2s'"
    );
    (service, source)
}

const QUERY: &str = "operation = 'query'\nrows = 'response/list/row'\ncode = 'returnCode'\ntotal = 'total'\nbusy = ['90001']\nkey = ['no']\n\
    updated = 'time'\npage_size = 4\nsince_start = '2000-01-01 00:00:00'\n\
    parameters = [{ name = 'pageNo', value = '{page}' }, { name = 'pageSize', value = '{size}' }, { name = 'begin', value = '{since}' }]";

fn numbers(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["no"].as_str().unwrap()).collect()
}

fn fill(service: &Service, count: usize) {
    // Not in their order.
    let row = |n: usize| (format!("A{}", n * 7 % count), format!("2017-07-03 09:0{}:00", n * 7 % count));
    *service.rows.lock().unwrap() = (0..count).map(row).collect();
}

#[tokio::test]
async fn pages_that_move_are_read_whole_sorted_and_once() {
    let place = Place::new().await;
    for most in [0, 3] {
        let (service, source) = start().await;
        fill(&service, 10);
        service.most.store(most, Ordering::SeqCst);
        let (mut soap, mut position) = (place.open(&source, QUERY).unwrap(), Position::default());
        let (rows, faults) = drain(&mut *soap, &mut position).await;
        assert_eq!((numbers(&rows), faults.len()), (vec!["A0", "A1", "A2", "A3", "A4", "A5", "A6", "A7", "A8", "A9"], 0));
        assert_eq!(rows[0]["name"], "李]]>四");
        service.rows.lock().unwrap().push(("L".into(), "2017-07-03 09:06:00".into()));
        let (rows, _) = drain(&mut *place.open(&source, QUERY).unwrap(), &mut position).await;
        assert_eq!(numbers(&rows), ["L"]);
        let asked = service.asked.lock().unwrap();
        assert_eq!((asked[0].as_str(), asked.last().unwrap().as_str()), ("2000-01-01 00:00:00", "2017-07-03 09:04:00"));
    }
}

#[tokio::test]
async fn what_passes_is_tried_again() {
    let place = Place::new().await;
    let (service, source) = start().await;
    fill(&service, 1);
    *service.first.lock().unwrap() = vec![
        (500, fault("Server")),
        (503, String::new()),
        (200, fault("Server.busy")),
        (200, envelope(&format!("<![CDATA[{}]]>", document("90001", 0, "")))),
    ];
    let batch = place.open(&source, QUERY).unwrap().read(&Position::default(), 9).await.unwrap();
    // Pages are read once more until nothing new comes; here it matters that no failed answer ended the reading.
    assert_eq!((batch.rows.len(), service.first.lock().unwrap().len()), (1, 0));
    assert!(service.calls.load(Ordering::SeqCst) > 4);
}

#[tokio::test]
async fn what_lasts_is_refused_at_once_with_its_code() {
    let place = Place::new().await;
    let (service, source) = start().await;
    let coded = |code: &str| envelope(&format!("<![CDATA[{}]]>", document(code, 0, "")));
    let cases = [
        (500, fault("Client"), "CH-3460"),
        (200, coded("20001"), "CH-3461"),
        (200, coded("王建国"), "CH-3461"),
        (200, coded(""), "CH-3462"),
        (302, String::new(), "CH-2080"),
        (404, String::new(), "CH-2080"),
    ];
    for (status, text, code) in cases {
        *service.first.lock().unwrap() = vec![(status, text)];
        let before = service.calls.load(Ordering::SeqCst);
        let refused = place.open(&source, QUERY).unwrap().read(&Position::default(), 9).await;
        let Err(Error::Refused(fault)) = refused else { panic!("{code}: {refused:?}") };
        assert_eq!((fault.code.to_string().as_str(), service.calls.load(Ordering::SeqCst)), (code, before + 1), "{fault}");
        assert!(!fault.to_string().contains("王建国"), "{fault}");
    }
}

#[tokio::test]
async fn answers_that_cannot_be_read_cost_themselves() {
    let place = Place::new().await;
    let (service, source) = start().await;
    fill(&service, 1);
    let doctype = "<!DOCTYPE r [<!ENTITY a 'ha'>]><response/>";
    let cases = [
        ("<x/>".to_owned(), "CH-3456"),
        ("not xml".to_owned(), "CH-3450"),
        (envelope(""), "CH-3462"),
        (envelope("<row/>"), "CH-3462"),
        (format!("<!DOCTYPE x SYSTEM 'file:///etc/passwd'>{}", envelope("")), "CH-3452"),
        (envelope(&format!("<![CDATA[{doctype}]]>")), "CH-3452"),
        (envelope("x").replace("UTF-8", "GBK"), "CH-3451"),
        (envelope("<![CDATA[<response><list/></respons>]]>"), "CH-3450"),
    ];
    for (text, code) in cases {
        *service.first.lock().unwrap() = vec![(200, text)];
        let batch = place.open(&source, QUERY).unwrap().read(&Position::default(), 9).await.unwrap();
        let codes: Vec<String> = batch.bad.iter().map(|bad| bad.faults[0].code.to_string()).collect();
        assert_eq!(codes, [code], "{:?}", batch.bad);
    }
}

#[tokio::test]
async fn wrong_options_are_refused_all_at_once() {
    let place = Place::new().await;
    let source = "kind = 'soap'\nurl = 'http://127.0.0.1:9/'\nnamespace = 'n'";
    let object = "operation = 'a b'\nrows = '/x'\nupdated = 't'\nparameters = [{ name = '1', value = '{when}' }]\npage_size = 0\noverlap = 'x'";
    let faults = place.open(source, object).err().unwrap();
    assert!(faults.len() >= 7, "{faults:?}");
    assert!(place.open(&format!("{source}\nversion = '2'"), QUERY).is_err());
    assert!(place.open("kind = 'soap'\nurl = 'file:///etc'\nnamespace = 'n'", QUERY).is_err());
}
