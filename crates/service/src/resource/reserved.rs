//! Reserved nodes: what is offered, at which price, and what was bought. Nothing is billed here; the records are for the
//! tools that ask for them.

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

use super::node_type;
use super::refusal::Refusal;
use crate::state::Resource;

/// Sort of resource in ARNs.
pub const SORT: &str = "reserved-instance";
/// Most nodes of one purchase, and of all purchases that count (the quota of nodes of a region).
pub const NODES_MAX: u64 = 300;
/// A purchase is pending for so long, in milliseconds.
const PENDING_MS: u64 = 1_000;
/// Seconds of a year, as the API counts them.
const YEAR_S: u64 = 31_536_000;
/// Longest id.
const ID_BYTES_MAX: usize = 255;

/// How a reservation is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Payment {
    /// By the hour.
    No,
    /// Half at once, half by the hour.
    Partial,
    /// At once.
    All,
}

impl Payment {
    /// The words of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Payment::No => "No Upfront",
            Payment::Partial => "Partial Upfront",
            Payment::All => "All Upfront",
        }
    }

    /// Discount on the price on demand in per cent: AWS's lie between 30 and 55.
    fn discount(self, years: u64) -> u64 {
        match (self, years) {
            (Payment::No, 1) => 30,
            (Payment::Partial, 1) => 33,
            (Payment::All, 1) => 35,
            (Payment::No, _) => 48,
            (Payment::Partial, _) => 52,
            (Payment::All, _) => 55,
        }
    }
}

/// What can be bought. Prices are in millionths of a USD.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offering {
    /// A UUID that follows from the rest.
    pub id: String,
    /// Node type.
    pub node_type: String,
    /// `redis`, `valkey` or `memcached`.
    pub engine: String,
    /// Seconds.
    pub duration_s: u64,
    /// How it is paid.
    pub payment: Payment,
    /// At once.
    pub fixed_price: u64,
    /// By the hour.
    pub hourly_price: u64,
}

/// Everything that can be bought, in the order of node types.
pub fn offerings() -> Vec<Offering> {
    let mut all = Vec::new();
    for node_type in node_type::all() {
        for engine in ["redis", "valkey", "memcached"] {
            let price = node_type.price_micro_usd(engine).filter(|_| node_type.offers(engine));
            let Some(price) = price else { continue };
            for years in [1, 3] {
                for payment in [Payment::No, Payment::Partial, Payment::All] {
                    all.push(offering(node_type.name, engine, years, payment, price));
                }
            }
        }
    }
    all
}

fn offering(node_type: &str, engine: &str, years: u64, payment: Payment, on_demand: u64) -> Offering {
    let hourly = on_demand * (100 - payment.discount(years)) / 100;
    let hours = years * YEAR_S / 3600;
    let (fixed_price, hourly_price) = match payment {
        Payment::No => (0, hourly),
        Payment::Partial => (hourly * hours / 2, hourly / 2),
        Payment::All => (hourly * hours, 0),
    };
    let text = format!("{node_type} {engine} {years} {}", payment.as_str());
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.as_ref()[..16]);
    Offering {
        id: uuid::Uuid::from_bytes(bytes).to_string(),
        node_type: node_type.to_owned(),
        engine: engine.to_owned(),
        duration_s: years * YEAR_S,
        payment,
        fixed_price,
        hourly_price,
    }
}

/// What was bought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// Its id, lower case.
    pub id: String,
    /// What was offered.
    pub offering: Offering,
    /// For how many nodes.
    pub count: u64,
    /// When it was bought, Unix milliseconds.
    pub start_ms: u64,
}

impl Resource for Reservation {
    const KIND: &'static str = "reserved-node";

    fn id(&self) -> String {
        self.id.clone()
    }
}

impl Reservation {
    /// The word of the API for its state.
    pub fn state(&self, now_ms: u64) -> &'static str {
        let age_ms = now_ms.saturating_sub(self.start_ms);
        if age_ms < PENDING_MS {
            "payment-pending"
        } else if age_ms < self.offering.duration_s * 1000 {
            "active"
        } else {
            "retired"
        }
    }
}

/// Which offerings or reservations are asked for.
#[derive(Debug, Default)]
pub struct Filter {
    /// Id of the offering.
    pub offering_id: Option<String>,
    /// Node type.
    pub node_type: Option<String>,
    /// In seconds.
    pub duration_s: Option<u64>,
    /// Engine.
    pub engine: Option<String>,
    /// Words for how it is paid.
    pub payment: Option<String>,
}

impl Filter {
    /// Whether an offering is asked for.
    pub fn passes(&self, offering: &Offering) -> bool {
        let is = |wanted: &Option<String>, value: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(value))
        };
        is(&self.offering_id, &offering.id)
            && is(&self.node_type, &offering.node_type)
            && is(&self.engine, &offering.engine)
            && is(&self.payment, offering.payment.as_str())
            && self.duration_s.is_none_or(|wanted| wanted == offering.duration_s)
    }
}

/// Reads a duration in years, in seconds or as Terraform writes it.
///
/// # Errors
/// `InvalidParameterValue`.
pub fn duration(text: &str) -> Result<u64, Refusal> {
    match text {
        "1" | "31536000" | "P1Y" => Ok(YEAR_S),
        "3" | "94608000" | "P3Y" => Ok(3 * YEAR_S),
        other => {
            let shown: String = other.chars().take(32).collect();
            Err(Refusal::value(format!(
                "Invalid Duration: {shown}. Valid values are 1, 3, 31536000 and 94608000."
            )))
        }
    }
}

/// The id of a reservation: as asked for, or made of the time.
///
/// # Errors
/// `InvalidParameterValue`.
pub fn identifier(asked: Option<&str>, now_ms: u64) -> Result<String, Refusal> {
    let Some(text) = asked else {
        let moment = i64::try_from(now_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        let moment = moment.unwrap_or_default().strftime("%Y-%m-%d-%H-%M-%S");
        return Ok(format!("ri-{moment}-{:03}", now_ms % 1000));
    };
    super::identifier::identifier("ReservedCacheNodeId", text, ID_BYTES_MAX)
}

/// A price as the API tells it: USD with up to six digits.
pub fn usd(micro: u64) -> String {
    let text = format!("{}.{:06}", micro / 1_000_000, micro % 1_000_000);
    let short = text.trim_end_matches('0');
    if short.ends_with('.') { format!("{short}0") } else { short.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_offering_is_cheaper_than_on_demand_and_has_an_id_of_its_own() {
        let all = offerings();
        let ids: std::collections::BTreeSet<&str> = all.iter().map(|offering| offering.id.as_str()).collect();
        assert_eq!(ids.len(), all.len());
        assert_eq!(offerings(), all, "ids stay");
        for offering in &all {
            let price =
                node_type::find(&offering.node_type).unwrap().price_micro_usd(&offering.engine).unwrap();
            let hours = offering.duration_s / 3600;
            let paid = offering.fixed_price + offering.hourly_price * hours;
            assert!(paid * 100 <= price * hours * 70 && paid * 100 >= price * hours * 40, "{offering:?}");
        }
    }

    #[test]
    fn prices_states_and_ids() {
        assert_eq!(
            [usd(0), usd(17_000), usd(1_500_000), usd(2_000_001)],
            ["0.0", "0.017", "1.5", "2.000001"]
        );
        let offering = offerings().remove(0);
        let bought = Reservation { id: "a".into(), count: 1, start_ms: 5_000, offering };
        assert_eq!(bought.state(5_000), "payment-pending");
        assert_eq!(bought.state(60_000), "active");
        assert_eq!(bought.state(5_000 + YEAR_S * 1000), "retired");
        assert_eq!(identifier(None, 1_795_442_400_123).unwrap(), "ri-2026-11-23-14-00-00-123");
        assert!(identifier(Some("1x"), 0).is_err());
        assert_eq!(duration("P3Y").unwrap(), 3 * YEAR_S);
        assert!(duration("2").is_err());
    }
}
