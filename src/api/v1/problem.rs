//! Error answers after RFC 9457, with code, pointer, both languages, hint, whether a retry helps, and the trace id.

use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::{correction, error::Code, signature, store};

/// One error of the partner API.
pub struct Kind {
    pub code: Code,
    pub status: StatusCode,
    pub en: &'static str,
    pub zh: &'static str,
    pub hint: &'static str,
    /// The same request may succeed later.
    pub retryable: bool,
}

macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $name:ident = $code:expr, $status:ident $retryable:literal $en:literal $zh:literal $hint:literal;)*) => {
        $($(#[doc = $doc])* pub const $name: &Kind = &Kind {
            code: $code,
            status: StatusCode::$status,
            en: $en,
            zh: $zh,
            hint: $hint,
            retryable: $retryable,
        };)*

        /// Every error that the API may answer with, in the order of their codes.
        pub const KINDS: &[&Kind] = &[$($name),*];
    };
}

kinds! {
    /// No signature.
    UNSIGNED = Code::new(6610), UNAUTHORIZED false "the request is not signed" "请求未签名" "sign it as docs/partners.md tells: signature-input and signature of RFC 9421";
    /// A header field of the signature is no structured field.
    UNREADABLE = Code::new(6611), UNAUTHORIZED false "the signature cannot be read" "签名头无法解析" "check signature-input, signature and content-digest against RFC 9421 and RFC 9530";
    /// Something that must be signed is not.
    NOT_COVERED = Code::new(6612), UNAUTHORIZED false "the signature does not cover all that must be signed" "签名未覆盖必需的内容" "cover @method, @target-uri and content-digest; give created, nonce and keyid";
    /// `created` is outside the window.
    CLOCK = Code::new(6613), UNAUTHORIZED false "the signature is too old or too new" "签名时间超出300秒窗口" "set the clock by NTP and sign each request anew";
    /// The key is unknown or retired.
    KEY = Code::new(6614), UNAUTHORIZED false "the key is not known or no longer valid" "密钥不存在或已停用" "keyid is <partner>/<serial>; GET /v1/keys lists yours";
    /// The signature does not fit.
    MISMATCH = Code::new(6615), UNAUTHORIZED false "the signature does not fit the request" "签名与请求不符" "compare your signature base with the worked example in docs/partners.md";
    /// The body does not fit its digest.
    DIGEST = Code::new(6616), UNAUTHORIZED false "the body does not fit content-digest" "请求体与摘要不符" "compute the digest over the bytes that are sent";
    /// The nonce was used before.
    REPLAY = Code::new(6617), UNAUTHORIZED false "this nonce was used before" "随机数重复，疑似重放" "sign each request with a fresh nonce; use Idempotency-Key to repeat a request";
    /// Too many requests.
    RATE = Code::new(6620), TOO_MANY_REQUESTS true "too many requests" "请求过于频繁" "wait as long as Retry-After says";
    /// The body is too long.
    TOO_LARGE = Code::new(6621), PAYLOAD_TOO_LARGE false "the body is too long" "请求体过大" "at most 1 MiB, files at most 8 MiB";
    /// The body is no JSON of the right form.
    BODY = Code::new(6622), BAD_REQUEST false "the body cannot be read" "请求体无法解析" "a JSON object as the documentation of the operation shows it";
    /// A parameter is unknown or has a value that cannot be used.
    PARAMETER = Code::new(6623), BAD_REQUEST false "a parameter cannot be used" "参数无效" "the documentation of the operation lists its parameters";
    /// A POST without Idempotency-Key.
    NO_IDEMPOTENCY_KEY = Code::new(6630), BAD_REQUEST false "the header Idempotency-Key is missing or unusable" "缺少幂等键" "1 to 128 visible characters, a new one for each thing you do";
    /// Another request came with the same key.
    OTHER_REQUEST = Code::new(6631), UNPROCESSABLE_ENTITY false "this Idempotency-Key belongs to another request" "幂等键已用于其他请求" "use a new key for a new request";
    /// The first request with this key is still worked on.
    IN_FLIGHT = Code::new(6632), CONFLICT true "the first request with this Idempotency-Key is still worked on" "相同请求正在处理" "ask again after Retry-After";
    /// The caller may not.
    NOT_ALLOWED = Code::new(6640), FORBIDDEN false "no agreement allows this" "协议未授权" "GET /v1/meta/services tells what you may and why not the rest";
    /// There is no such thing, or it belongs to somebody else.
    NOT_FOUND = Code::new(6641), NOT_FOUND false "there is no such thing" "资源不存在" "only what belongs to the caller is shown";
    /// The path does not know the method.
    METHOD = Code::new(6642), METHOD_NOT_ALLOWED false "the path does not know this method" "不支持该方法" "the header Allow lists the methods";
    /// It cannot be done in the present state.
    CONFLICT = Code::new(6643), CONFLICT false "the present state does not allow this" "当前状态不允许" "read the resource again";
    /// A field of the body has a value that cannot be used.
    INVALID = Code::new(6644), UNPROCESSABLE_ENTITY false "a field of the body cannot be used" "字段内容无效" "pointer names the field";
    /// Store or bus do not answer.
    UNAVAILABLE = Code::new(6645), SERVICE_UNAVAILABLE true "the hub cannot answer now" "服务暂不可用" "send the same again after Retry-After";
    /// The agreement ran out.
    ENDED = Code::new(6646), FORBIDDEN false "the agreement has run out" "协议已到期" "ask the department to renew the agreement";
    /// What is disputed was not delivered to the caller.
    NOT_RECEIVED = correction::NOT_RECEIVED, UNPROCESSABLE_ENTITY false "nothing like this was delivered to you" "该数据未交付给贵方" "GET /v1/deliveries lists what was";
    /// The copy of the disputed delivery is gone.
    NO_COPY = correction::NO_COPY, UNPROCESSABLE_ENTITY false "the copy of this delivery is no longer kept" "交付副本已不再保存" "name the event instead: id, source, dataschema and subject as you received them";
    /// The disputed field was not received.
    NO_FIELD = correction::NO_FIELD, UNPROCESSABLE_ENTITY false "the field was not received" "该字段未交付" "pointer is a JSON pointer into the delivered record, like /amount";
    /// The claim says nothing.
    NO_WORDS = correction::NO_WORDS, UNPROCESSABLE_ENTITY false "a text is missing or too long" "文字缺失或过长" "1 to 1000 characters";
}

/// One answer that is an error.
#[derive(Clone)]
pub struct Problem {
    pub kind: &'static Kind,
    pointer: Option<String>,
    detail: Option<String>,
    retry_after: Option<u64>,
}

impl From<&'static Kind> for Problem {
    fn from(kind: &'static Kind) -> Self {
        Self { kind, pointer: None, detail: None, retry_after: kind.retryable.then_some(1) }
    }
}

impl Problem {
    pub fn at(mut self, pointer: impl Into<String>) -> Self {
        self.pointer = Some(pointer.into());
        self
    }

    /// More about it; never a value of the request.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The body.
    pub fn body(&self, trace: &str) -> Value {
        let kind = self.kind;
        json!({
            "type": format!("/v1/meta/errors#{}", kind.code),
            "title": kind.status.canonical_reason(),
            "status": kind.status.as_u16(),
            "detail": self.detail.as_deref().unwrap_or(kind.en),
            "code": kind.code,
            "pointer": self.pointer,
            "message": { "en": kind.en, "zh": kind.zh },
            "hint": kind.hint,
            "retryable": kind.retryable,
            "trace_id": trace,
        })
    }

    pub fn respond(&self, trace: &str) -> Response {
        let mut response = (self.kind.status, Json(self.body(trace))).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.kind.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Signature"));
            let wanted = "sig1=(\"@method\" \"@target-uri\" \"content-digest\");created;nonce;keyid";
            headers.insert(HeaderName::from_static("accept-signature"), HeaderValue::from_static(wanted));
        }
        response
    }
}

/// Marks an answer as an error whose trace id the guard fills in.
#[derive(Clone)]
pub struct Told(pub Problem);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.respond("");
        response.extensions_mut().insert(Told(self));
        response
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        tracing::warn!(code = %error.fault().code, "the partner API cannot reach the store");
        Self::from(UNAVAILABLE).retry_after(5)
    }
}

impl From<signature::Error> for Problem {
    fn from(error: signature::Error) -> Self {
        use signature::Error;
        let kind = match &error {
            Error::Unsigned => UNSIGNED,
            Error::Unreadable(_) => UNREADABLE,
            Error::NotCovered(_) | Error::Component => NOT_COVERED,
            Error::Clock => CLOCK,
            Error::Key => KEY,
            Error::Mismatch => MISMATCH,
            Error::Digest => DIGEST,
        };
        Self::from(kind).detail(error.to_string())
    }
}
