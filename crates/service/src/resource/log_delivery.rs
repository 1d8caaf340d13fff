//! Log delivery: which logs of a cache go where and in which form, and how their lines read. Pure.
//!
//! A destination of CloudWatch Logs or Firehose is a file in the service's folder (see [`crate::delivery`]); its name
//! follows from the destination alone.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::cluster::Engine;
use super::refusal::Refusal;
use crate::state::Resource;

/// Longest name of a log group, as a file name: each byte that is not plain takes three.
const GROUP_BYTES_MAX: usize = 255;
/// Longest name of a stream.
const STREAM_BYTES_MAX: usize = 64;

/// Which log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LogType {
    /// Commands that took long.
    SlowLog,
    /// What the node itself logs.
    EngineLog,
}

impl LogType {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            LogType::SlowLog => "slow-log",
            LogType::EngineLog => "engine-log",
        }
    }

    fn parse(word: &str) -> Option<LogType> {
        [LogType::SlowLog, LogType::EngineLog].into_iter().find(|sort| sort.as_str() == word)
    }

    /// The first version of redis that has it.
    fn first_version(self) -> (u32, u32) {
        match self {
            LogType::SlowLog => (6, 0),
            LogType::EngineLog => (6, 2),
        }
    }
}

/// Where it goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Destination {
    /// A log group of CloudWatch Logs, with a stream for each node and log.
    CloudWatchLogs {
        /// The group.
        group: String,
    },
    /// A stream of Firehose, which takes the lines of all.
    Firehose {
        /// The stream.
        stream: String,
    },
}

impl Destination {
    /// The word of the API.
    pub fn as_str(&self) -> &'static str {
        match self {
            Destination::CloudWatchLogs { .. } => "cloudwatch-logs",
            Destination::Firehose { .. } => "kinesis-firehose",
        }
    }

    /// The parts of its file's path, for a log of a node.
    pub fn path(&self, engine: Engine, cluster: &str, node: &str, log: LogType) -> Vec<String> {
        match self {
            Destination::CloudWatchLogs { group } => {
                let stream = ["elasticache", engine.as_str(), cluster, node, log.as_str()].map(str::to_owned);
                [self.as_str().to_owned(), file_name(group)].into_iter().chain(stream).collect()
            }
            Destination::Firehose { stream } => vec![self.as_str().to_owned(), stream.clone()],
        }
    }
}

/// A log group as one file name: letters, digits, `_` and `-` stand for themselves, and a dot that is not the first.
fn file_name(group: &str) -> String {
    let mut name = String::new();
    for (index, byte) in group.bytes().enumerate() {
        if byte.is_ascii_alphanumeric() || b"_-".contains(&byte) || (byte == b'.' && index > 0) {
            name.push(char::from(byte));
        } else {
            // Writing into a String cannot fail.
            let _ = write!(name, "%{byte:02X}");
        }
    }
    name
}

/// The form of its lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// JSON, an object a line.
    Json,
    /// Text.
    Text,
}

impl Format {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Json => "json",
            Format::Text => "text",
        }
    }
}

/// A log that is to be delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogDelivery {
    /// Where to.
    pub destination: Destination,
    /// How.
    pub format: Format,
    /// Since when, Unix milliseconds: what a node has logged before stays where it is.
    pub since_ms: u64,
}

impl LogDelivery {
    fn is_like(&self, other: &LogDelivery) -> bool {
        self.destination == other.destination && self.format == other.format
    }
}

/// The logs of a cache that are to be delivered.
pub type Deliveries = BTreeMap<LogType, LogDelivery>;

/// An element of LogDeliveryConfigurations, as it came.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Request {
    log_type: Option<String>,
    destination_type: Option<String>,
    destination_details: Option<Details>,
    log_format: Option<String>,
    enabled: Option<bool>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Details {
    cloud_watch_logs_details: Option<GroupDetails>,
    kinesis_firehose_details: Option<StreamDetails>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GroupDetails {
    log_group: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StreamDetails {
    delivery_stream: Option<String>,
}

/// Changes what is to be delivered, as a request says.
///
/// # Errors
/// `InvalidParameterValue`, `InvalidParameterCombination`.
pub fn change(
    deliveries: &mut Deliveries,
    requests: &[Request],
    engine: Engine,
    version: &str,
    now_ms: u64,
) -> Result<(), Refusal> {
    let mut seen = Vec::new();
    for request in requests {
        let word = request.log_type.as_deref().unwrap_or_default();
        let log = LogType::parse(word).ok_or_else(|| unknown("LogType", word))?;
        if seen.contains(&log) {
            return Err(Refusal::value(format!("There can be one configuration of the {word} only.")));
        }
        seen.push(log);
        check_version(log, engine, version)?;
        if request.enabled == Some(false) {
            deliveries.remove(&log);
            continue;
        }
        let delivery =
            LogDelivery { destination: destination(request)?, format: format(request)?, since_ms: now_ms };
        if !deliveries.get(&log).is_some_and(|before| before.is_like(&delivery)) {
            deliveries.insert(log, delivery);
        }
    }
    Ok(())
}

fn unknown(parameter: &str, word: &str) -> Refusal {
    let shown: String = word.chars().take(64).collect();
    Refusal::value(format!("Invalid {parameter}: {shown}."))
}

fn check_version(log: LogType, engine: Engine, version: &str) -> Result<(), Refusal> {
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let present = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let fits = match engine {
        Engine::Memcached => false,
        Engine::Valkey => true,
        Engine::Redis => present >= log.first_version(),
    };
    if fits {
        return Ok(());
    }
    let engine = engine.as_str();
    Err(Refusal::combination(format!("The {} cannot be delivered for {engine} {version}.", log.as_str())))
}

fn destination(request: &Request) -> Result<Destination, Refusal> {
    let details = request.destination_details.clone().unwrap_or_default();
    let word = request.destination_type.as_deref().unwrap_or_default();
    let needs = |what: &str| {
        Refusal::combination(format!(
            "DestinationType {word} needs DestinationDetails with {what} and no others."
        ))
    };
    match (word, details.cloud_watch_logs_details, details.kinesis_firehose_details) {
        ("cloudwatch-logs", Some(GroupDetails { log_group: Some(group) }), None) => {
            let is_plain = |b: u8| b.is_ascii_alphanumeric() || b".-_/#".contains(&b);
            if group.is_empty() || !group.bytes().all(is_plain) || file_name(&group).len() > GROUP_BYTES_MAX {
                return Err(unknown("LogGroup", &group));
            }
            Ok(Destination::CloudWatchLogs { group })
        }
        ("kinesis-firehose", None, Some(StreamDetails { delivery_stream: Some(stream) })) => {
            let is_plain = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
            let fits = (1..=STREAM_BYTES_MAX).contains(&stream.len()) && !stream.starts_with('.');
            if !fits || !stream.bytes().all(is_plain) {
                return Err(unknown("DeliveryStream", &stream));
            }
            Ok(Destination::Firehose { stream })
        }
        ("cloudwatch-logs", ..) => Err(needs("CloudWatchLogsDetails")),
        ("kinesis-firehose", ..) => Err(needs("KinesisFirehoseDetails")),
        _ => Err(unknown("DestinationType", word)),
    }
}

fn format(request: &Request) -> Result<Format, Refusal> {
    match request.log_format.as_deref() {
        Some("json") => Ok(Format::Json),
        Some("text") => Ok(Format::Text),
        other => Err(unknown("LogFormat", other.unwrap_or_default())),
    }
}

/// A delivery that is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    /// What was asked for.
    pub delivery: LogDelivery,
    /// Why the last lines could not be written.
    pub failure: Option<String>,
}

/// How far the logs of a node were delivered. After a kill the last lines may be delivered once more.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The process whose slow log it is about.
    pub run_id: String,
    /// The next number of its slow log.
    pub slow_next: u64,
    /// The file of the log; another one has another number.
    pub file: u64,
    /// How much of it was delivered.
    pub offset: u64,
}

/// What is observed of the deliveries of a cluster. Written by the task that makes them only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedDeliveries {
    /// The cluster.
    pub cluster: String,
    /// Deliveries in force.
    pub logs: BTreeMap<LogType, InForce>,
    /// How far they are, by node and log.
    pub positions: BTreeMap<String, BTreeMap<LogType, Position>>,
}

impl Resource for ObservedDeliveries {
    const KIND: &'static str = "log-delivery-observed";

    fn id(&self) -> String {
        self.cluster.clone()
    }
}

/// The word for the status of a delivery; none if there is none, and none was.
pub fn status(wanted: Option<&LogDelivery>, observed: Option<&InForce>) -> Option<&'static str> {
    match (wanted, observed) {
        (None, None) => None,
        (None, Some(_)) => Some("disabling"),
        (Some(_), None) => Some("enabling"),
        (Some(wanted), Some(observed)) if *wanted != observed.delivery => Some("modifying"),
        (Some(_), Some(InForce { failure: Some(_), .. })) => Some("error"),
        (Some(_), Some(_)) => Some("active"),
    }
}

/// An entry of a slow log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlowEntry {
    /// Its number.
    pub id: u64,
    /// When, Unix seconds.
    pub at_s: i64,
    /// How long, in microseconds.
    pub duration_us: i64,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// Address of the client.
    pub client: String,
    /// Its name.
    pub client_name: String,
}

/// A line about a slow command. What was in its arguments is nobody's business.
pub fn slow_line(entry: &SlowEntry, cluster: &str, node: &str, format: Format) -> String {
    let name = entry.command.first().map(String::as_str).unwrap_or_default();
    let command = match entry.command.len().saturating_sub(1) {
        0 => name.to_owned(),
        more => format!("{name} ... ({more} more arguments)"),
    };
    let SlowEntry { id, at_s, duration_us, client, client_name, .. } = entry;
    match format {
        Format::Json => json!({
            "CacheClusterId": cluster,
            "CacheNodeId": node,
            "Id": id,
            "Timestamp": at_s,
            "Duration (us)": duration_us,
            "Command": command,
            "ClientAddress": client,
            "ClientName": client_name,
        })
        .to_string(),
        Format::Text => {
            let fields = [
                cluster.to_owned(),
                node.to_owned(),
                id.to_string(),
                at_s.to_string(),
                duration_us.to_string(),
                command,
                client.clone(),
                client_name.clone(),
            ];
            fields.map(|field| field.replace(['\n', '\r'], " ")).join(",")
        }
    }
}

/// A line of a node's log in the form of the delivery; none if it is not a line as nodes write them
/// (`4711:M 23 Nov 2026 17:06:32.123 * Ready`), but part of something longer.
pub fn engine_line(line: &str, cluster: &str, node: &str, format: Format) -> Option<String> {
    let mut words = line.splitn(7, ' ');
    let (pid, role) = words.next()?.split_once(':')?;
    pid.parse::<u32>().ok()?;
    let (day, month, year, clock) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let time = format!("{day} {month} {year} {clock}");
    let (mark, message) = (words.next()?, words.next().unwrap_or_default());
    let level = match mark {
        "." => "DEBUG",
        "-" => "VERBOSE",
        "*" => "NOTICE",
        "#" => "WARNING",
        _ => return None,
    };
    Some(match format {
        Format::Json => json!({
            "CacheClusterId": cluster,
            "CacheNodeId": node,
            "LogLevel": level,
            "Role": role,
            "Time": format!("{time} UTC"),
            "Message": message,
        })
        .to_string(),
        Format::Text => format!("{cluster}/{node}:{role} {time} UTC {mark} {message}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(log: &str, group: &str) -> Request {
        Request {
            log_type: Some(log.into()),
            destination_type: Some("cloudwatch-logs".into()),
            destination_details: Some(Details {
                cloud_watch_logs_details: Some(GroupDetails { log_group: Some(group.into()) }),
                kinesis_firehose_details: None,
            }),
            log_format: Some("json".into()),
            enabled: None,
        }
    }

    fn changed(deliveries: &mut Deliveries, request: Request) -> Result<(), Refusal> {
        change(deliveries, &[request], Engine::Redis, "7.1.0", 5)
    }

    #[test]
    fn requests_are_checked() {
        let mut deliveries = Deliveries::new();
        changed(&mut deliveries, request("slow-log", "/aws/x")).unwrap();
        let before = deliveries.clone();
        change(&mut deliveries, &[request("slow-log", "/aws/x")], Engine::Redis, "7.1.0", 9).unwrap();
        assert_eq!(deliveries, before, "nothing new was asked for");
        let other = Request { log_format: Some("text".into()), ..request("slow-log", "/aws/x") };
        changed(&mut deliveries, other).unwrap();
        assert_eq!(deliveries[&LogType::SlowLog].format, Format::Text);
        let twice = [request("slow-log", "a"), request("slow-log", "b")];
        assert!(change(&mut deliveries, &twice, Engine::Valkey, "8.0.1", 1).is_err());
        for (engine, version, log, fits) in [
            (Engine::Redis, "5.0.6", "slow-log", false),
            (Engine::Redis, "6.0.5", "slow-log", true),
            (Engine::Redis, "6.0.5", "engine-log", false),
            (Engine::Redis, "6.2.6", "engine-log", true),
            (Engine::Valkey, "7.2.6", "engine-log", true),
            (Engine::Memcached, "1.6.22", "slow-log", false),
        ] {
            let asked = change(&mut Deliveries::new(), &[request(log, "g")], engine, version, 1);
            assert_eq!(asked.is_ok(), fits, "{engine:?} {version} {log}");
        }
        for group in ["", "a b", "..\\x", "a:b", &"x/".repeat(70), &"x".repeat(256)] {
            assert!(changed(&mut Deliveries::new(), request("slow-log", group)).is_err(), "{group}");
        }
        let bad = [
            Request { log_type: Some("audit-log".into()), ..request("slow-log", "g") },
            Request { log_format: None, ..request("slow-log", "g") },
            Request { destination_type: Some("kinesis-firehose".into()), ..request("slow-log", "g") },
            Request { destination_type: Some("s3".into()), ..request("slow-log", "g") },
            Request { destination_details: None, ..request("slow-log", "g") },
        ];
        for request in bad {
            assert!(changed(&mut Deliveries::new(), request.clone()).is_err(), "{request:?}");
        }
        let off = Request { log_type: Some("slow-log".into()), enabled: Some(false), ..Request::default() };
        changed(&mut deliveries, off).unwrap();
        assert!(deliveries.is_empty());
    }

    #[test]
    fn files_lie_in_their_folder_whatever_they_are_called() {
        let group = |group: &str| Destination::CloudWatchLogs { group: group.into() };
        let path = |of: Destination| of.path(Engine::Redis, "books", "0001", LogType::SlowLog).join("|");
        assert_eq!(
            path(group("/aws/x.y")),
            "cloudwatch-logs|%2Faws%2Fx.y|elasticache|redis|books|0001|slow-log"
        );
        for bad in ["..", ".", "../../x"] {
            let path = group(bad).path(Engine::Redis, "books", "0001", LogType::SlowLog);
            assert!(path.iter().all(|part| part != ".." && part != "." && !part.contains('/')), "{path:?}");
        }
        assert_eq!(path(Destination::Firehose { stream: "s".into() }), "kinesis-firehose|s");
    }

    #[test]
    fn the_status_follows_from_what_is_wanted_and_what_is() {
        let delivery = |since_ms| LogDelivery {
            destination: Destination::Firehose { stream: "s".into() },
            format: Format::Text,
            since_ms,
        };
        let in_force = InForce { delivery: delivery(1), failure: None };
        let failed = InForce { failure: Some("no room".into()), ..in_force.clone() };
        for (wanted, observed, expected) in [
            (None, None, None),
            (Some(delivery(1)), None, Some("enabling")),
            (Some(delivery(1)), Some(&in_force), Some("active")),
            (Some(delivery(2)), Some(&in_force), Some("modifying")),
            (Some(delivery(1)), Some(&failed), Some("error")),
            (None, Some(&in_force), Some("disabling")),
        ] {
            assert_eq!(status(wanted.as_ref(), observed), expected);
        }
    }

    #[test]
    fn lines_have_the_form_of_the_delivery() {
        let mut entry = SlowEntry {
            id: 7,
            at_s: 1_795_442_400,
            duration_us: 12_000,
            command: vec!["SET".into(), "secret".into(), "value".into()],
            client: "127.0.0.1:5".into(),
            client_name: "a\nb".into(),
        };
        let text = slow_line(&entry, "books", "0001", Format::Text);
        assert_eq!(text, "books,0001,7,1795442400,12000,SET ... (2 more arguments),127.0.0.1:5,a b");
        let json: serde_json::Value =
            serde_json::from_str(&slow_line(&entry, "books", "0001", Format::Json)).unwrap();
        assert_eq!(json["Duration (us)"], 12_000);
        assert_eq!(json["Command"], "SET ... (2 more arguments)");
        entry.command.truncate(1);
        assert!(slow_line(&entry, "books", "0001", Format::Text).contains(",SET,"));

        let line = "4711:M 23 Nov 2026 17:06:32.123 * Ready to accept connections tcp";
        assert_eq!(
            engine_line(line, "books", "0001", Format::Text).unwrap(),
            "books/0001:M 23 Nov 2026 17:06:32.123 UTC * Ready to accept connections tcp"
        );
        let json: serde_json::Value =
            serde_json::from_str(&engine_line(line, "books", "0001", Format::Json).unwrap()).unwrap();
        assert_eq!((json["LogLevel"].as_str(), json["Role"].as_str()), (Some("NOTICE"), Some("M")));
        assert_eq!(json["Time"], "23 Nov 2026 17:06:32.123 UTC");
        for other in ["", "   _._", "thread 'main' panicked", "1:M a", "x:M 23 Nov 2026 17:06:32.123 * y"] {
            assert_eq!(engine_line(other, "books", "0001", Format::Text), None, "{other}");
        }
    }
}
