//! Calls of operations in the name of who is signed in. A page gets what a client of the API gets: an answer in XML,
//! read into a tree, or the error.

use super::parameters::Parameters;
use super::visit::Visit;
use crate::api::Api;
use crate::front::query::Form;
use crate::front::{ApiError, Element, Request, element};
use crate::operation::{perform, rehearse};

/// Version of ElastiCache's API.
pub(super) const ELASTICACHE_VERSION: &str = "2015-02-02";
/// Version of EC2's API.
const EC2_VERSION: &str = "2016-11-15";
/// Version of CloudWatch's API.
const MONITORING_VERSION: &str = "2010-08-01";
/// How many pages of a list a page of the console reads at most: 2000 items.
const PAGES_MAX: usize = 20;

impl Visit<'_> {
    /// Calls ElastiCache; the answer is what stands inside the result element.
    pub(super) fn call(&self, call: &Parameters) -> Result<Element, ApiError> {
        let text = perform(&self.console.app, &self.caller, &call.form()?, &self.request_id)?;
        result(&text, call.action)
    }

    /// Calls a Describe action of ElastiCache until its last page, and collects the elements of `list`.
    pub(super) fn all(&self, call: Parameters, list: &str) -> Result<Vec<Element>, ApiError> {
        let mut found = Vec::new();
        let mut marker = String::new();
        for _ in 0..PAGES_MAX {
            let mut page = self.call(&call.clone().text("Marker", &marker))?;
            page.text_at(&["Marker"]).clone_into(&mut marker);
            if let Some(list) = page.children.iter_mut().find(|child| child.name == list) {
                found.append(&mut list.children);
            }
            if marker.is_empty() {
                break;
            }
        }
        Ok(found)
    }

    /// What the first of several calls that would be refused answers; nothing is changed.
    pub(super) fn rehearse(&self, calls: &[Parameters]) -> Result<(), ApiError> {
        let forms = calls.iter().map(Parameters::form).collect::<Result<Vec<Form>, ApiError>>()?;
        rehearse(&self.console.app, &self.caller, &forms)
    }

    /// Calls EC2; members of the answer stand beside the request id.
    pub(super) fn ec2(&self, call: &Parameters) -> Result<Element, ApiError> {
        self.neighbour(Api::Ec2, call.encoded(EC2_VERSION))
    }

    /// Calls CloudWatch.
    pub(super) fn monitoring(&self, encoded: &str, action: &str) -> Result<Element, ApiError> {
        let body = format!("Action={action}&Version={MONITORING_VERSION}&{encoded}");
        let root = self.neighbour(Api::Monitoring, body)?;
        Ok(root.children.into_iter().find(|child| child.name.ends_with("Result")).unwrap_or_default())
    }

    fn neighbour(&self, api: Api, body: String) -> Result<Element, ApiError> {
        let request = Request {
            method: "POST".to_owned(),
            path: "/".to_owned(),
            body: body.into_bytes(),
            source: self.caller.source,
            ..Request::default()
        };
        let answer = api.answer(&self.console.app, &self.caller, &request, &self.request_id)?;
        read(&String::from_utf8_lossy(&answer.body))
    }
}

fn read(text: &str) -> Result<Element, ApiError> {
    element::parse(text).map_err(|why| ApiError::internal(&format!("an answer of our own: {why}")))
}

fn result(text: &str, action: &str) -> Result<Element, ApiError> {
    let wanted = format!("{action}Result");
    Ok(read(text)?.children.into_iter().find(|child| child.name == wanted).unwrap_or_default())
}
