use axum::http::{HeaderMap, HeaderName, HeaderValue};
use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::SecretString;

use super::{
    Error,
    algorithm::{self, Algorithm, Sign, Verify},
    base::Message,
    sign::Signer,
    structured::{Member, dictionary},
    verify::{Candidate, candidates},
};

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    headers
}

/// The request of RFC 9421, appendix B.2.
fn request() -> HeaderMap {
    headers(&[
        ("host", "example.com"),
        ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
        ("content-type", "application/json"),
        ("content-digest", "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:"),
        ("content-length", "18"),
    ])
}

/// The answer of the same appendix.
fn answer() -> HeaderMap {
    headers(&[
        ("date", "Tue, 20 Apr 2021 02:07:56 GMT"),
        ("content-type", "application/json"),
        ("content-digest", "sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ==:"),
        ("content-length", "23"),
    ])
}

fn base(headers: &HeaderMap, status: Option<u16>, input: &str) -> Result<String, Error> {
    let members = dictionary(input).unwrap();
    let Member::List(items, parameters) = &members[0].1 else { panic!("no list") };
    let message = Message {
        method: "POST",
        scheme: "https",
        authority: "example.com",
        path: "/foo",
        query: Some("param=Value&Pet=dog"),
        headers,
        status,
    };
    message.base(items, parameters)
}

const B21: &str = r#"sig-b21=();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd""#;
const B22: &str = r#"sig-b22=("@authority" "content-digest" "@query-param";name="Pet");created=1618884473;keyid="test-key-rsa-pss";tag="header-example""#;
const B23: &str = r#"sig-b23=("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-rsa-pss""#;
const B24: &str =
    r#"sig-b24=("@status" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-ecc-p256""#;
const B25: &str = r#"sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret""#;
const B26: &str = r#"sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519""#;

#[test]
fn the_bases_of_rfc_9421_b2() {
    let request = request();
    assert_eq!(base(&request, None, B21).unwrap(), format!("\"@signature-params\": {}", &B21[8..]));
    assert_eq!(
        base(&request, None, B22).unwrap(),
        format!(
            "\"@authority\": example.com\n\"content-digest\": sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:\n\
             \"@query-param\";name=\"Pet\": dog\n\"@signature-params\": {}",
            &B22[8..]
        )
    );
    assert_eq!(
        base(&request, None, B23).unwrap(),
        format!(
            "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n\"@method\": POST\n\"@path\": /foo\n\"@query\": ?param=Value&Pet=dog\n\"@authority\": example.com\n\
             \"content-type\": application/json\n\"content-digest\": sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:\n\
             \"content-length\": 18\n\"@signature-params\": {}",
            &B23[8..]
        )
    );
}

#[test]
fn the_signature_of_rfc_9421_b24_with_ecdsa_p256_fits() {
    let pem = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqIVYZVLCrPZHGHjP17CTW0/+D9Lf\nw0EkjqF7xB4FivAxzic30tMM4GF+hR6Dxh71Z50VGGdldkkDXZCnTNnoXQ==\n-----END PUBLIC KEY-----";
    let key = algorithm::public(pem).unwrap();
    assert_eq!(key.algorithm(), Algorithm::EcdsaP256);
    let signature =
        STANDARD.decode("wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw==").unwrap();
    assert!(key.verify(base(&answer(), Some(200), B24).unwrap().as_bytes(), &signature));
    assert!(!key.verify(base(&answer(), Some(201), B24).unwrap().as_bytes(), &signature));
}

#[test]
fn the_signature_of_rfc_9421_b25_with_hmac_fits() {
    let secret =
        STANDARD.decode("uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==").unwrap();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&secret).unwrap();
    mac.update(base(&request(), None, B25).unwrap().as_bytes());
    assert_eq!(STANDARD.encode(mac.finalize().into_bytes()), "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=");
}

#[test]
fn the_signature_of_rfc_9421_b26_with_ed25519_fits_and_is_made_again() {
    let pem =
        "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=\n-----END PUBLIC KEY-----";
    let key = algorithm::public(pem).unwrap();
    let text = "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==";
    let base = base(&request(), None, B26).unwrap();
    assert!(key.verify(base.as_bytes(), &STANDARD.decode(text).unwrap()));
    let secret = algorithm::secret(&SecretString::from("ed25519-secret:n4Ni+HpISpVObnQMW0wOhCKROaIKqKtW/2ZYb2p9KcU=")).unwrap();
    assert_eq!(STANDARD.encode(secret.sign(base.as_bytes()).unwrap()), text);
    assert_eq!(secret.public().write(), key.write());
}

/// GB/T 32918.5, annex A: the digital signature on the recommended curve, with the identity `1234567812345678`.
#[test]
fn the_example_of_gb_t_32918_5_fits() {
    let point = "0409F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020CCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13";
    let key = algorithm::public(&format!("sm2-sm3:{}", STANDARD.encode(hex::decode(point).unwrap()))).unwrap();
    let signature = hex::decode(
        "F5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3B1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA",
    )
    .unwrap();
    assert!(key.verify(b"message digest", &signature));
    assert!(!key.verify(b"message digesT", &signature));
    let secret = hex::decode("3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8").unwrap();
    let secret = algorithm::secret(&SecretString::from(format!("sm2-sm3-secret:{}", STANDARD.encode(secret)))).unwrap();
    assert_eq!(secret.public().write(), key.write());
    assert!(key.verify(b"another", &secret.sign(b"another").unwrap()));
}

#[test]
fn bad_signatures_are_refused_by_every_algorithm() {
    for name in Algorithm::ALL {
        let (secret, public) = algorithm::generate(name).unwrap();
        let secret = algorithm::secret(&secret).unwrap();
        let good = secret.sign(b"text").unwrap();
        assert!(public.verify(b"text", &good));
        let mut bad: Vec<Vec<u8>> = (0..good.len()).map(|at| flipped(&good, at)).collect();
        // Nothing, zeros, ones, the order of no group, halves, DER instead of the fixed form, something behind.
        bad.extend([vec![], vec![0; 64], vec![1; 64], vec![0xff; 64], good[..32].to_vec(), vec![0; 65]]);
        bad.push([&good[..], &[0]].concat());
        bad.push([&[0; 32], &good[32..]].concat());
        bad.push([&good[..32], &[0; 32]].concat());
        bad.push([&[0x30, 0x06, 0x02, 0x01, 0x01, 0x02, 0x01, 0x01][..]].concat());
        for signature in bad {
            assert!(!public.verify(b"text", &signature), "{name:?} {signature:02x?}");
        }
        let (_, other) = algorithm::generate(name).unwrap();
        assert!(!other.verify(b"text", &good));
    }
}

fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes
}

#[test]
fn keys_that_are_none_are_refused() {
    let zeros = STANDARD.encode([0; 32]);
    for text in [
        "",
        "ed25519:",
        "ed25519:AAAA",
        "rsa:AAAA",
        "sm2-sm3:AAAA",
        &format!("ecdsa-p256-sha256:{}", STANDARD.encode([4; 65])),
        // The neutral point, of small order: it would accept signatures nobody made.
        "ed25519:AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
    ] {
        assert_eq!(algorithm::public(text).err().map(|fault| fault.code), Some(algorithm::BAD_KEY), "{text}");
    }
    for text in ["ed25519-secret:AAAA".to_owned(), format!("sm2-sm3-secret:{zeros}"), format!("ecdsa-p256-sha256-secret:{zeros}")]
    {
        let fault = algorithm::secret(&SecretString::from(text)).err().unwrap();
        assert!(!fault.to_string().contains("AAAA"), "{fault}");
    }
}

/// A signed request and how it is judged.
struct Call {
    headers: HeaderMap,
    body: Vec<u8>,
    target: url::Url,
}

const NOW: i64 = 1_499_043_600;

fn call(key: &dyn Sign, keyid: &str) -> Call {
    let target = url::Url::parse("https://hub.example/v1/events?after=0").unwrap();
    let (mut headers, body) = (HeaderMap::new(), br#"{"cursor":1}"#.to_vec());
    Signer { key, keyid }.sign(&target, "POST", &body, NOW, &mut headers).unwrap();
    Call { headers, body, target }
}

fn judge(call: &Call, key: &dyn Verify, now: i64) -> Result<(), Error> {
    let message = Message {
        method: "POST",
        scheme: "http",
        authority: "hub.example",
        path: call.target.path(),
        query: call.target.query(),
        headers: &call.headers,
        status: None,
    };
    let mut found: Vec<Candidate> = candidates(&call.headers)?;
    found.remove(0).check(&message, &call.body, key, now)
}

#[test]
fn a_request_is_good_within_the_window_and_as_it_was_signed() {
    for name in Algorithm::ALL {
        let (secret, public) = algorithm::generate(name).unwrap();
        let secret = algorithm::secret(&secret).unwrap();
        let good = call(secret.as_ref(), "bank-icbc/1");
        let key = public.as_ref();
        for (now, result) in [
            (NOW, Ok(())),
            (NOW + 300, Ok(())),
            (NOW - 300, Ok(())),
            (NOW + 301, Err(Error::Clock)),
            (NOW - 301, Err(Error::Clock)),
        ] {
            assert_eq!(judge(&good, key, now), result);
        }
        let mut other = call(secret.as_ref(), "bank-icbc/1");
        other.body[2] ^= 1;
        assert_eq!(judge(&other, key, NOW), Err(Error::Digest));
        let mut other = call(secret.as_ref(), "bank-icbc/1");
        other.target.set_query(Some("after=1"));
        assert_eq!(judge(&other, key, NOW), Err(Error::Mismatch));
        let mut other = call(secret.as_ref(), "bank-icbc/1");
        other.headers.insert("content-digest", HeaderValue::from_str(&super::digest::of(b"{}", false)).unwrap());
        other.body = b"{}".to_vec();
        assert_eq!(judge(&other, key, NOW), Err(Error::Mismatch), "a digest that was put in its place");
    }
}

#[test]
fn what_must_be_signed_is_named() {
    let (secret, public) = algorithm::generate(Algorithm::Ed25519).unwrap();
    let secret = algorithm::secret(&secret).unwrap();
    for (from, to, error) in [
        ("\"@method\" ", "", Error::NotCovered("@method")),
        ("\"@target-uri\" ", "", Error::NotCovered("@target-uri")),
        (" \"content-digest\"", "", Error::NotCovered("content-digest")),
        (";created=1499043600", "", Error::NotCovered("created")),
        (";nonce=", ";other=", Error::NotCovered("nonce")),
        (";keyid=", ";kid=", Error::NotCovered("keyid")),
        ("\"@method\"", "\"@method\" \"@method\"", Error::Component),
        ("\"@method\"", "\"@method\" \"x-missing\"", Error::Component),
        ("\"@method\"", "\"@method\" \"content-digest\";sf", Error::Component),
        (";alg=\"ed25519\"", ";alg=\"sm2-sm3\"", Error::Mismatch),
        ("created=1499043600", "created=1499043601", Error::Mismatch),
    ] {
        let mut call = call(secret.as_ref(), "k");
        let text = call.headers["signature-input"].to_str().unwrap().replace(from, to);
        call.headers.insert("signature-input", HeaderValue::from_str(&text).unwrap());
        assert_eq!(judge(&call, public.as_ref(), NOW), Err(error), "{from}");
    }
    let mut bare = call(secret.as_ref(), "k");
    bare.headers.remove("signature");
    assert_eq!(judge(&bare, public.as_ref(), NOW), Err(Error::Unsigned));
    bare.headers.insert("signature", HeaderValue::from_static("other=:AAAA:"));
    assert_eq!(judge(&bare, public.as_ref(), NOW), Err(Error::Unreadable("signature")));
}
