//! Reserved nodes: what is offered for a node type, and what was bought.

use crate::console::board::{Board, Cell, Done, Field, Form, Table, answer};
use crate::console::parameters::Parameters;
use crate::console::show::{engine_name, moment};
use crate::console::visit::Visit;
use crate::front::{Answer, ApiError, Element};
use crate::resource::node_type;

/// The node type whose offerings are shown without a wish.
const USUAL_TYPE: &str = "cache.t3.micro";

fn years(element: &Element) -> String {
    let seconds: u64 = element.text_at(&["Duration"]).parse().unwrap_or_default();
    match seconds / (365 * 24 * 3600) {
        1 => "1 year".to_owned(),
        years => format!("{years} years"),
    }
}

fn prices(element: &Element) -> (String, String) {
    let hourly = element.list("RecurringCharges").first();
    let hourly = hourly.map_or("", |charge| charge.text_at(&["RecurringChargeAmount"]));
    let usd = |text: &str| text.parse::<f64>().unwrap_or_default();
    (format!("${:.2}", usd(element.text_at(&["FixedPrice"]))), format!("${:.4}", usd(hourly)))
}

/// What was bought, what is offered for a node type, and the form to buy it.
pub(in crate::console) fn page(visit: &Visit<'_>) -> Result<Answer, ApiError> {
    answer(visit, buy(visit), || {
        let bought = visit.all(Parameters::of("DescribeReservedCacheNodes"), "ReservedCacheNodes")?;
        let chosen = Some(visit.fields.text("type")).filter(|text| !text.is_empty()).unwrap_or(USUAL_TYPE);
        let offered = Parameters::of("DescribeReservedCacheNodesOfferings").text("CacheNodeType", chosen);
        let mut offered = visit.all(offered, "ReservedCacheNodesOfferings")?;
        offered.sort_by_key(|offering| {
            let text = |name: &str| offering.text_at(&[name]).to_owned();
            (text("ProductDescription"), text("Duration"), text("OfferingType"))
        });
        let intro = "Prices of AWS in us-east-1, less a discount. Purchases are recorded for the tools that ask for them; \
                     nothing is billed.";
        let mut board = Board::of(visit, "reserved-nodes", "Reserved nodes", intro);
        let row = |node: &Element| {
            let text = |name: &str| node.text_at(&[name]);
            let (fixed, hourly) = prices(node);
            vec![
                Cell::text(text("ReservedCacheNodeId")),
                Cell::status(text("State")),
                Cell::text(text("CacheNodeType")),
                Cell::text(engine_name(text("ProductDescription"))),
                Cell::Number(text("CacheNodeCount").to_owned()),
                Cell::Text(years(node)),
                Cell::Number(fixed),
                Cell::Number(hourly),
                Cell::Text(moment(text("StartTime"))),
            ]
        };
        board.tables.push(Table {
            heading: "",
            columns: &[
                "Id",
                "State",
                "Node type",
                "Engine",
                "Nodes",
                "For",
                "At once",
                "By the hour",
                "From",
            ],
            rows: bought.iter().map(row).collect(),
            empty: "No nodes are reserved.",
        });
        let row = |offering: &Element| {
            let text = |name: &str| offering.text_at(&[name]);
            let (fixed, hourly) = prices(offering);
            vec![
                Cell::text(text("CacheNodeType")),
                Cell::text(engine_name(text("ProductDescription"))),
                Cell::Text(years(offering)),
                Cell::text(text("OfferingType")),
                Cell::Number(fixed),
                Cell::Number(hourly),
            ]
        };
        board.tables.push(Table {
            heading: "Offerings",
            columns: &["Node type", "Engine", "For", "Paid", "At once", "By the hour"],
            rows: offered.iter().map(row).collect(),
            empty: "Nothing is offered for this node type.",
        });
        let types =
            node_type::all().iter().map(|node_type| (node_type.name.to_owned(), node_type.name.to_owned()));
        let value = chosen.to_owned();
        let field = Field::Choice { name: "type", label: "Node type", options: types.collect(), value };
        board.forms.push(Form::of("look", "Offerings of another node type", "Show", vec![field]));
        let option = |offering: &Element| {
            let text = |name: &str| offering.text_at(&[name]);
            let (fixed, hourly) = prices(offering);
            let about = format!(
                "{} {}, {}, {}: {fixed} and {hourly} an hour",
                engine_name(text("ProductDescription")),
                text("CacheNodeType"),
                years(offering),
                text("OfferingType")
            );
            (text("ReservedCacheNodesOfferingId").to_owned(), about)
        };
        let count =
            Some(visit.fields.text("count")).filter(|text| !text.is_empty()).unwrap_or("1").to_owned();
        let mut form = Form::of(
            "buy",
            "Buy",
            "Buy",
            vec![
                Field::Hidden { name: "type", value: chosen.to_owned() },
                Field::choice(visit, "offering", "Offering", offered.iter().map(option).collect()),
                Field::Number { name: "count", label: "Number of nodes", value: count },
                Field::wanted(visit, "id", "Id of the reservation", "Left empty, one is made."),
            ],
        );
        form.consequences = vec!["A purchase cannot be undone, in AWS as here.".to_owned()];
        board.forms.push(form);
        Ok(board)
    })
}

fn buy(visit: &Visit<'_>) -> Done {
    if !visit.is_post() || visit.fields.text("act") != "buy" {
        return Ok(None);
    }
    let call = Parameters::of("PurchaseReservedCacheNodesOffering")
        .text("ReservedCacheNodesOfferingId", visit.fields.text("offering"))
        .number("CacheNodeCount", visit.fields.text("count"))
        .text("ReservedCacheNodeId", visit.fields.text("id"));
    visit.call(&call)?;
    Ok(Some(("The nodes are reserved.".to_owned(), "/reserved-nodes".to_owned())))
}
