//! Decides whether a token is valid, by the rules of a `validate-jwt` policy.
//!
//! ```text
//! token ─► decrypt, if it is encrypted ─► read ─► signature ─► lifetime ─► audience ─► issuer ─► claims ─► what it says
//! ```
//!
//! The property to trust: a token that is returned was signed with one of the policy's keys, by an algorithm of that key's
//! family, and every rule holds. An unsigned token passes only where the policy says that tokens need no signature. The signature
//! covers all of a token's text: a token that is spelt differently is a different token.
//!
//! No verdict on a token is remembered: a cache would save some 50 µs of a handshake that costs more than that. Its price would
//! be a store of credentials that attackers can fill, and verdicts that outlive a key.
//!
//! Not here: finding a token (`carrier`), keys that are fetched, the answer to a client.

mod algorithm;
pub mod carrier;
mod encrypted;
mod keys;

use core::fmt;
use std::sync::Arc;

use super::expression::{DateTime, TICKS_PER_SECOND};
use super::jwt::Jwt;
use algorithm::Algorithm;
use encrypted::{Opened, is_encrypted};
use keys::Unverified;

pub use encrypted::{DecryptionKey, DecryptionKeys};
pub use keys::{Key, Keys, TokenKeyFault, TooManyKeys};

/// The rules for a token.
#[derive(Clone, Debug)]
pub struct TokenRules {
    /// Whom the policy trusts.
    pub keys: Arc<Keys>,
    /// The keys that open encrypted tokens.
    pub decryption_keys: Arc<DecryptionKeys>,
    /// The token is for one of these. Empty: for anybody.
    pub audiences: Vec<Arc<str>>,
    /// It is by one of these. Empty: by anybody who has a key.
    pub issuers: Vec<Arc<str>>,
    /// It claims all of this.
    pub required_claims: Vec<RequiredClaim>,
    /// It says when it ends.
    pub requires_expiration_time: bool,
    /// It has a signature.
    pub requires_signature: bool,
    /// Seconds that its clock and ours may be apart.
    pub clock_skew_s: u64,
}

impl Default for TokenRules {
    /// The defaults of Azure API Management's policy, and no key.
    fn default() -> Self {
        Self {
            keys: Arc::default(),
            decryption_keys: Arc::default(),
            audiences: Vec::new(),
            issuers: Vec::new(),
            required_claims: Vec::new(),
            requires_expiration_time: true,
            requires_signature: true,
            clock_skew_s: 0,
        }
    }
}

/// A claim that a token must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequiredClaim {
    /// Its name.
    pub name: Arc<str>,
    /// Values that are looked for. Without any, it is enough that the claim is there.
    pub values: Vec<Arc<str>>,
    /// How many of them there must be.
    pub matched: Matched,
    /// The separator of several values in one text.
    pub separator: Option<Arc<str>>,
}

/// `match` of a required claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Matched {
    /// Every value.
    #[default]
    All,
    /// One of them.
    Any,
}

/// Why a token is not believed. Its text is `LastError.Message`; it may quote the token's claims, never the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenFault {
    /// There is none.
    NotPresent,
    /// It cannot be read.
    Malformed,
    /// It asks for an extension of RFC 7515.
    Critical,
    /// It is encrypted, and no key opens it.
    Undecryptable,
    /// It is unsigned.
    Unsigned,
    /// No key is of the family of its algorithm.
    SignatureKeyNotFound,
    /// No key made its signature.
    SignatureInvalid,
    /// It does not say when it ends.
    NoExpirationTime,
    /// It has ended.
    Expired,
    /// It has not begun.
    NotYetValid,
    /// It is for others.
    AudienceNotAllowed,
    /// It is by others.
    IssuerNotAllowed,
    /// It lacks claims.
    ClaimNotFound(Vec<Arc<str>>),
    /// A claim lacks a value.
    ClaimValueNotAllowed {
        /// The claim.
        name: Arc<str>,
        /// The value that it has.
        value: String,
    },
}

impl TokenFault {
    /// `LastError.Reason`, from Azure API Management's catalogue.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotPresent => "TokenNotPresent",
            // The catalogue has no reason for a token that has not begun, nor for one without an end.
            // Nor has it one for a token that cannot be opened.
            Self::Malformed
            | Self::Critical
            | Self::Undecryptable
            | Self::NoExpirationTime
            | Self::NotYetValid => "JwtInvalid",
            Self::Unsigned | Self::SignatureInvalid => "TokenSignatureInvalid",
            Self::SignatureKeyNotFound => "TokenSignatureKeyNotFound",
            Self::Expired => "TokenExpired",
            Self::AudienceNotAllowed => "TokenAudienceNotAllowed",
            Self::IssuerNotAllowed => "TokenIssuerNotAllowed",
            Self::ClaimNotFound(_) => "TokenClaimNotFound",
            Self::ClaimValueNotAllowed { .. } => "TokenClaimValueNotAllowed",
        }
    }

    /// Returns the message to the client, unless the policy says otherwise. It does not tell what the policy would have accepted.
    pub fn said(&self) -> &'static str {
        if *self == Self::NotPresent { "JWT not present." } else { "Invalid JWT." }
    }
}

impl fmt::Display for TokenFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPresent => formatter.write_str("JWT not present."),
            Self::Malformed => formatter.write_str("The token is no JWT."),
            Self::Critical => formatter.write_str("The JWT asks for an extension (crit)."),
            Self::Undecryptable => {
                formatter.write_str("The JWT is encrypted, and not for a known key. Access denied.")
            }
            Self::Unsigned => formatter.write_str("The JWT has no signature. Access denied."),
            Self::SignatureKeyNotFound => {
                formatter.write_str("No key is of the kind that the JWT is signed with. Access denied.")
            }
            Self::SignatureInvalid => {
                formatter.write_str("The signature of the JWT is not by a known key. Access denied.")
            }
            Self::NoExpirationTime => formatter.write_str("The JWT has no expiration time. Access denied."),
            Self::Expired => formatter.write_str("The JWT has expired. Access denied."),
            Self::NotYetValid => formatter.write_str("The JWT is not yet valid. Access denied."),
            Self::AudienceNotAllowed => {
                formatter.write_str("The audience of the JWT is not allowed. Access denied.")
            }
            Self::IssuerNotAllowed => {
                formatter.write_str("The issuer of the JWT is not allowed. Access denied.")
            }
            Self::ClaimNotFound(names) => {
                write!(
                    formatter,
                    "JWT token is missing the following claims: {}. Access denied.",
                    names.join(", ")
                )
            }
            Self::ClaimValueNotAllowed { name, value } => {
                write!(formatter, "Claim {name} value of {value} is not allowed. Access denied.")
            }
        }
    }
}

impl TokenRules {
    /// Judges a token, without a scheme before it, at a time in seconds since 1970.
    ///
    /// # Errors
    /// The first rule that does not hold.
    pub fn judge(&self, token: &str, now_s: i64) -> Result<Jwt, TokenFault> {
        if !is_encrypted(token) {
            return self.judge_signed(token, now_s);
        }
        match self.decryption_keys.open(token)? {
            // One that is encrypted again is no signed token.
            Opened::Token(token) => self.judge_signed(&token, now_s),
            Opened::Claims(_) if self.requires_signature => Err(TokenFault::Unsigned),
            Opened::Claims(jwt) => self.judge_content(jwt, now_s),
        }
    }

    fn judge_signed(&self, token: &str, now_s: i64) -> Result<Jwt, TokenFault> {
        let token = Jwt::parse_signed(token).ok_or(TokenFault::Malformed)?;
        // RFC 7515 §4.1.11: who does not understand an extension refuses the token. We know none.
        if token.has_critical {
            return Err(TokenFault::Critical);
        }
        let jwt = token.jwt;
        self.judge_signature(&jwt, token.signed, &token.signature)?;
        self.judge_content(jwt, now_s)
    }

    fn judge_content(&self, jwt: Jwt, now_s: i64) -> Result<Jwt, TokenFault> {
        self.judge_lifetime(&jwt, now_s)?;
        if !self.audiences.is_empty()
            && !jwt.audiences.iter().any(|audience| self.audiences.contains(audience))
        {
            return Err(TokenFault::AudienceNotAllowed);
        }
        if !self.issuers.is_empty()
            && !jwt.issuer.as_ref().is_some_and(|issuer| self.issuers.contains(issuer))
        {
            return Err(TokenFault::IssuerNotAllowed);
        }
        self.judge_claims(&jwt)?;
        Ok(jwt)
    }

    fn judge_signature(&self, jwt: &Jwt, signed: &str, signature: &[u8]) -> Result<(), TokenFault> {
        // RFC 7519 §6: unsigned is who says so and has no signature. One that has a signature is verified, also where
        // none is needed: whoever signs means it.
        if jwt.algorithm.as_deref() == Some("none") {
            let is_unsigned = signature.is_empty() && !self.requires_signature;
            return if is_unsigned { Ok(()) } else { Err(TokenFault::Unsigned) };
        }
        let algorithm = jwt.algorithm.as_deref().and_then(Algorithm::parse);
        let algorithm = algorithm.ok_or(TokenFault::SignatureKeyNotFound)?;
        self.keys.verify(algorithm, jwt.key_id.as_deref(), signed.as_bytes(), signature).map_err(|why| {
            match why {
                Unverified::NoKey => TokenFault::SignatureKeyNotFound,
                Unverified::WrongSignature => TokenFault::SignatureInvalid,
            }
        })
    }

    fn judge_lifetime(&self, jwt: &Jwt, now_s: i64) -> Result<(), TokenFault> {
        let skew_s = i64::try_from(self.clock_skew_s).unwrap_or(i64::MAX);
        let seconds = |time: DateTime| time.unix_ticks().div_euclid(TICKS_PER_SECOND);
        match jwt.expiration_time {
            None if self.requires_expiration_time => return Err(TokenFault::NoExpirationTime),
            // RFC 7519 §4.1.4: not accepted on or after.
            Some(end) if now_s >= seconds(end).saturating_add(skew_s) => return Err(TokenFault::Expired),
            None | Some(_) => {}
        }
        // RFC 7519 §4.1.5: not accepted before.
        match jwt.not_before {
            Some(begin) if now_s < seconds(begin).saturating_sub(skew_s) => Err(TokenFault::NotYetValid),
            None | Some(_) => Ok(()),
        }
    }

    fn judge_claims(&self, jwt: &Jwt) -> Result<(), TokenFault> {
        let missing = self.required_claims.iter().filter(|required| jwt.claim(&required.name).is_none());
        let missing: Vec<_> = missing.map(|required| Arc::clone(&required.name)).collect();
        if !missing.is_empty() {
            return Err(TokenFault::ClaimNotFound(missing));
        }
        for required in &self.required_claims {
            let claimed = jwt.claim(&required.name).unwrap_or_default();
            if !required.is_met(claimed) {
                let value = claimed.join(",");
                return Err(TokenFault::ClaimValueNotAllowed { name: Arc::clone(&required.name), value });
            }
        }
        Ok(())
    }
}

impl RequiredClaim {
    fn is_met(&self, claimed: &[Arc<str>]) -> bool {
        let is_claimed = |value: &Arc<str>| {
            claimed.iter().any(|text| {
                match self.separator.as_deref().filter(|separator| !separator.is_empty()) {
                    Some(separator) => text.split(separator).any(|part| part.trim() == &**value),
                    None => text == value,
                }
            })
        };
        match self.matched {
            Matched::All => self.values.iter().all(is_claimed),
            Matched::Any => self.values.is_empty() || self.values.iter().any(is_claimed),
        }
    }
}

#[cfg(test)]
mod tests;
