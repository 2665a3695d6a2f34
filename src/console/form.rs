//! Forms that change something: they must come from a page of the same session.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
    http::HeaderMap,
    response::Response,
};
use subtle::ConstantTimeEq;

use super::{Console, FOREIGN_FORM, NO_REASON, session::Viewer, view};
use crate::error::Fault;

/// The fields of a form or of a query.
#[derive(Debug, Default)]
pub(super) struct Fields(BTreeMap<String, String>);

impl Fields {
    pub fn parse(bytes: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(bytes).map(|(name, value)| (name.into_owned(), value.trim().to_owned())).collect())
    }

    /// A field; empty if it was not sent.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// A field that was filled in.
    pub fn some(&self, name: &str) -> Option<String> {
        Some(self.get(name)).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    /// The reason, at least four characters long.
    pub fn reason(&self) -> Result<&str, Fault> {
        let reason = self.get("reason");
        if reason.chars().count() < 4 {
            return Err(Fault::new(NO_REASON, "this needs a reason").expected("at least four characters, for the ledger"));
        }
        Ok(reason)
    }
}

/// Somebody who sent a form.
pub(super) struct Act {
    pub viewer: Viewer,
    pub fields: Fields,
}

impl FromRequest<Arc<Console>> for Act {
    type Rejection = Response;

    async fn from_request(request: Request, console: &Arc<Console>) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let viewer = Viewer::from_request_parts(&mut parts, console).await?;
        if !is_own(&parts.headers) {
            return Err(view::fault(&viewer, &foreign()));
        }
        let bytes = Bytes::from_request(Request::from_parts(parts, body), console).await;
        let fields = Fields::parse(&bytes.unwrap_or_default());
        if !bool::from(fields.get("csrf").as_bytes().ct_eq(viewer.csrf.as_bytes())) {
            return Err(view::fault(&viewer, &foreign()));
        }
        Ok(Self { viewer, fields })
    }
}

/// Whether the browser says that the form comes from elsewhere.
pub(super) fn is_own(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
    site.is_none_or(|site| matches!(site, "same-origin" | "none"))
}

pub(super) fn foreign() -> Fault {
    Fault::new(FOREIGN_FORM, "the form is not from a page of this session").hint("open the page again and repeat it there")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_decoded_and_trimmed() {
        let fields = Fields::parse("reason=%E6%A0%B8%E5%AF%B9+%E8%BA%AB%E4%BB%BD&empty=&x=+1+".as_bytes());
        assert_eq!((fields.get("reason"), fields.get("x"), fields.get("none")), ("核对 身份", "1", ""));
        assert_eq!((fields.some("empty"), fields.some("x")), (None, Some("1".to_owned())));
        assert!(fields.reason().is_ok());
        assert_eq!(Fields::parse(b"reason=abc").reason().map(|_| ()).unwrap_err().code, NO_REASON);
    }

    #[test]
    fn a_form_from_elsewhere_is_known_by_its_header() {
        let with = |value: &'static str| HeaderMap::from_iter([("sec-fetch-site".parse().unwrap(), value.parse().unwrap())]);
        assert!(is_own(&HeaderMap::new()) && is_own(&with("same-origin")) && is_own(&with("none")));
        assert!(!is_own(&with("cross-site")) && !is_own(&with("same-site")));
    }
}
