//! `senior-allowance`: CSV in GB18030 with a control line.

use std::{fs, os::unix::fs::symlink, process::Command, time::Duration};

use civilhub::{
    adapter::decode::{self, csv},
    domain::money::MONEY,
};
use encoding_rs::GB18030;
use md5::{Digest, Md5};

use super::hub::Hub;

const SYSTEM: &str = "senior-allowance";
const HEADER: &str = "LNZH,XM,SFZH,CSRQ,HKDM,JTJE,YHKH,ZT";
/// A card gives a person and an entitlement.
const PER_ROW: i64 = 2;

fn gb(text: &str) -> Vec<u8> {
    GB18030.encode(text).0.into_owned()
}

/// A good row; every card number is another record.
fn row(card: u32) -> Vec<u8> {
    gb(&format!("LN{card:012},王建国,=\"220171197001010053\",19700101,220171001001,100.0,'6217990220171234560,正常"))
}

/// Header, lines and an honest control line for `count` rows.
fn file(lines: &[Vec<u8>], count: usize) -> Vec<u8> {
    let mut bytes = gb(&format!("{HEADER}\r\n"));
    for line in lines {
        bytes.extend_from_slice(line);
        bytes.extend_from_slice(b"\r\n");
    }
    let digest = hex::encode(Md5::digest(&bytes));
    bytes.extend_from_slice(format!("EOF,{count},{digest}\r\n").as_bytes());
    bytes
}

fn with_field(card: u32, at: usize, value: &[u8]) -> Vec<u8> {
    let row = row(card);
    let mut fields: Vec<&[u8]> = row.split(|byte| *byte == b',').collect();
    fields[at] = value;
    fields.join(&b',')
}

pub async fn all(hub: &mut Hub) {
    stays_out(hub);
    half_written(hub).await;
    rows(hub).await;
    files(hub).await;
    // Links and pipes lie where they were put, and nobody has read them.
    for name in ["GL_full_link.csv", "GL_full_pipe.csv", "..GL_full.csv"] {
        assert!(fs::symlink_metadata(hub.inbox(SYSTEM).join(name)).is_ok(), "{name}");
    }
}

/// What must not be opened at all.
fn stays_out(hub: &Hub) {
    let inbox = hub.inbox(SYSTEM);
    fs::write(hub.path("secret.csv"), file(&[row(900)], 1)).unwrap();
    symlink(hub.path("secret.csv"), inbox.join("GL_full_link.csv")).unwrap();
    symlink("/dev/zero", inbox.join("GL_full_zero.csv")).unwrap();
    assert!(Command::new("mkfifo").arg(inbox.join("GL_full_pipe.csv")).status().unwrap().success());
    fs::create_dir(inbox.join("GL_full_folder.csv")).unwrap();
    fs::write(inbox.join("..GL_full.csv"), file(&[row(901)], 1)).unwrap();
    fs::write(inbox.join("GL_full_writing.csv.tmp"), b"half").unwrap();
}

/// A sender that writes under the final name, with pauses shorter than the settling time.
async fn half_written(hub: &mut Hub) {
    let whole = file(&[row(1), row(2)], 2);
    let path = hub.inbox(SYSTEM).join("GL_full_slow.csv");
    for part in 1..=8 {
        fs::write(&path, &whole[..whole.len() * part / 8]).unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    hub.comes(SYSTEM, "GL_full_slow.csv", &[], 2 * PER_ROW).await;
}

async fn rows(hub: &mut Hub) {
    let huge = vec![b'x'; 50 << 20];
    let nested = "[".repeat(100_000).into_bytes();
    let lines = vec![
        row(10),
        with_field(11, 1, b"\xff\xff\x80"),
        with_field(12, 1, b"A\0B"),
        with_field(13, 1, &nested),
        with_field(14, 5, b"9007199254740993.00"),
        with_field(15, 5, b"1e400"),
        b"a,b,c".to_vec(),
        with_field(17, 7, b"\"never closed"),
        with_field(18, 1, &huge),
        row(19),
    ];
    let expected = [
        (decode::ENCODING, Some(3), None),
        (decode::NUL, Some(4), None),
        (decode::ROW_TOO_LONG, Some(5), None),
        (MONEY, Some(6), Some("JTJE")),
        (MONEY, Some(7), Some("JTJE")),
        (csv::FIELD_COUNT, Some(8), None),
        (csv::QUOTE, Some(9), None),
        (decode::ROW_TOO_LONG, Some(10), None),
    ];
    hub.takes(SYSTEM, "GL_full_rows.csv", &file(&lines, lines.len()), &expected, 2 * PER_ROW).await;

    let mut empty = vec![row(20)];
    empty.extend(std::iter::repeat_n(Vec::new(), 10_000_000));
    empty.push(row(21));
    hub.takes(SYSTEM, "GL_full_empty.csv", &file(&empty, 2), &[], 2 * PER_ROW).await;
    hub.takes(SYSTEM, "GL_full..csv", &file(&[row(22)], 1), &[], PER_ROW).await;
    let exact = with_field(23, 5, b"9007199254.99");
    hub.takes(SYSTEM, "GL_full_exact.csv", &file(&[exact], 1), &[], PER_ROW).await;
}

async fn files(hub: &mut Hub) {
    let whole = file(&[row(30), row(31)], 2);
    let utf8 = String::from_utf8(GB18030.decode(&whole).0.into_owned().into_bytes()).unwrap();
    let utf8 = {
        let (body, _) = utf8.rsplit_once("EOF").unwrap();
        format!("{body}EOF,2,{}\r\n", hex::encode(Md5::digest(body))).into_bytes()
    };
    let twice = [gb(&format!("{HEADER},XM\r\n")), b"x\r\n".to_vec()].concat();
    let cases: [(&str, Vec<u8>, super::hub::Expected); 8] = [
        ("GL_full_utf8.csv", utf8, (decode::ENCODING, Some(2), None)),
        ("GL_full_cut.csv", whole[..whole.len() / 2].to_vec(), (csv::TRAILER, None, None)),
        ("GL_full_count.csv", file(&[row(32)], 7), (csv::TRAILER, Some(3), None)),
        ("GL_full_digest.csv", [whole.clone(), row(33)].concat(), (csv::TRAILER, None, None)),
        ("GL_full_twice.csv", twice, (csv::COLUMNS, Some(1), Some("9"))),
        ("GL_full_nothing.csv", Vec::new(), (decode::EMPTY, None, None)),
        ("GL_full_zeros.csv", vec![0; 10 << 20], (decode::NUL, Some(1), None)),
        ("GL_full_nulls.csv", b"\0\0\0\r\n".repeat(1000), (decode::NUL, Some(1), None)),
    ];
    for (name, bytes, expected) in cases {
        hub.takes(SYSTEM, name, &bytes, &[expected], 0).await;
        let folder = hub.inbox(SYSTEM).join(".quarantine");
        assert!(folder.join(name).is_file() && folder.join(format!("{name}.fault.json")).is_file(), "{name}");
    }
    // Moved back by hand, a refused file is refused again, and still counts once.
    let name = "GL_full_count.csv";
    fs::rename(hub.inbox(SYSTEM).join(".quarantine").join(name), hub.inbox(SYSTEM).join(name)).unwrap();
    hub.takes(SYSTEM, "GL_full_good.csv", &file(&[row(40)], 1), &[], PER_ROW).await;
    // A sender that names its file after a citizen.
    hub.hand_in(SYSTEM, "GL_full_220171197001010053.csv", b"x");
    hub.comes(SYSTEM, "GL_full_***.csv", &[(csv::TRAILER, None, None)], hub.delivered(SYSTEM)).await;
}
