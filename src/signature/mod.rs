//! HTTP message signatures (RFC 9421) and content digests (RFC 9530), with Ed25519, ECDSA P-256 and SM2.
//!
//! [`structured`] reads the header fields, [`base`] builds the text that is signed, [`algorithm`] holds the keys, [`digest`]
//! the digests of bodies; [`verify`] judges a request by the rules of the partner API, [`sign`] makes one that passes.

pub mod algorithm;
pub mod base;
pub mod digest;
pub mod sign;
pub mod structured;
#[cfg(test)]
mod tests;
pub mod verify;

/// Why a signed message is not accepted. No text of it quotes the message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// `signature-input` or `signature` is missing.
    #[error("the message is not signed")]
    Unsigned,
    /// A header field of the signature cannot be read.
    #[error("the header field `{0}` cannot be read")]
    Unreadable(&'static str),
    /// The signature leaves out a component or parameter that must be signed.
    #[error("the signature does not cover `{0}`")]
    NotCovered(&'static str),
    /// A covered component is not in the message, or is of a kind that is not supported.
    #[error("a covered component is missing or not supported")]
    Component,
    /// Too old or too new.
    #[error("`created` is too far from the clock of the hub, or `expires` is over")]
    Clock,
    /// Nobody knows the key, or it is retired.
    #[error("the key is not known or no longer valid")]
    Key,
    /// Signed by another key, with another algorithm, or changed on the way.
    #[error("the signature does not fit")]
    Mismatch,
    /// The body is not the one that was signed.
    #[error("the body does not fit its digest")]
    Digest,
}
