//! The subscription and the product in whose context an opening handshake runs.
//!
//! Not here: whether it is let in (`compiled::access`).

use std::sync::Arc;

use super::product::Product;
use super::subscription::Subscription;

/// In whose context a client is let in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Access<'a> {
    /// The subscription whose key it gave.
    pub subscription: Option<&'a Arc<Subscription>>,
    /// The product of that subscription, or the open product.
    pub product: Option<&'a Arc<Product>>,
}
