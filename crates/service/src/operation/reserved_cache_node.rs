//! What the operations on reserved nodes share: filters, and the form of a reservation in answers.

use super::{App, Caller};
use crate::front::{ApiError, Xml};
use crate::resource::reserved::{Filter, Offering, Reservation, SORT, duration, usd};

/// The filters of both Describe operations.
pub(super) fn filter(
    offering_id: Option<&str>,
    node_type: Option<&str>,
    asked_duration: Option<&str>,
    engine: Option<&str>,
    payment: Option<&str>,
) -> Result<Filter, ApiError> {
    Ok(Filter {
        offering_id: offering_id.map(str::to_owned),
        node_type: node_type.map(str::to_owned),
        duration_s: asked_duration.map(duration).transpose()?,
        engine: engine.map(str::to_owned),
        payment: payment.map(str::to_owned),
    })
}

/// Writes what an offering and a reservation have in common.
pub(super) fn write_terms(xml: &mut Xml, offering: &Offering) {
    xml.text("ReservedCacheNodesOfferingId", &offering.id)
        .text("CacheNodeType", &offering.node_type)
        .number("Duration", offering.duration_s)
        .text("FixedPrice", &usd(offering.fixed_price))
        .text("UsagePrice", &usd(0))
        .text("ProductDescription", &offering.engine)
        .text("OfferingType", offering.payment.as_str())
        .list("RecurringCharges", "RecurringCharge", [offering.hourly_price], |xml, price| {
            xml.text("RecurringChargeAmount", &usd(price)).text("RecurringChargeFrequency", "Hourly");
        });
}

/// Writes the members of a reservation.
pub(super) fn write(xml: &mut Xml, app: &App, caller: &Caller, reservation: &Reservation) {
    xml.text("ReservedCacheNodeId", &reservation.id).time("StartTime", reservation.start_ms);
    write_terms(xml, &reservation.offering);
    xml.number("CacheNodeCount", reservation.count)
        .text("State", reservation.state(app.now_ms()))
        .text("ReservationARN", &caller.arn(SORT, &reservation.id).to_string());
}
