//! Parameters of a call: sent to an operation, and shown as the `aws` command and the Terraform block that say the same.

use form_urlencoded::Serializer;

use crate::front::ApiError;
use crate::front::query::Form;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// Text.
    Text(String),
    /// A number, as it was typed: whether it is one, the operation says.
    Number(String),
    /// Yes or no.
    Flag(bool),
    /// A list of texts, and how the API calls an element.
    List(&'static str, Vec<String>),
    /// Keys and values.
    Tags(Vec<(String, String)>),
    /// Parameters of a parameter group, and their values.
    Settings(Vec<(String, String)>),
    /// A text that is sent, and shown to nobody.
    Secret(String),
    /// Logs, and where they go.
    Logs(Vec<Log>),
}

/// A log that is delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Log {
    /// `slow-log` or `engine-log`.
    pub(super) sort: &'static str,
    /// `cloudwatch-logs` or `kinesis-firehose`.
    pub(super) to: String,
    /// The group or stream.
    pub(super) name: String,
    /// `json` or `text`.
    pub(super) format: String,
}

impl Log {
    /// The names, within the details of a destination, of its sort and of what names it.
    fn details(&self) -> (&'static str, &'static str) {
        match self.to.as_str() {
            "kinesis-firehose" => ("KinesisFirehoseDetails", "DeliveryStream"),
            _ => ("CloudWatchLogsDetails", "LogGroup"),
        }
    }
}

/// An action with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parameters {
    pub(super) action: &'static str,
    pub(super) values: Vec<(&'static str, Value)>,
}

impl Parameters {
    pub(super) fn of(action: &'static str) -> Parameters {
        Parameters { action, values: Vec::new() }
    }

    /// A text; one that is empty is not sent, so that the operation's own default counts.
    pub(super) fn text(mut self, name: &'static str, value: &str) -> Parameters {
        if !value.is_empty() {
            self.values.push((name, Value::Text(value.to_owned())));
        }
        self
    }

    /// A text that is sent even if it is empty.
    pub(super) fn given(mut self, name: &'static str, value: &str) -> Parameters {
        self.values.push((name, Value::Text(value.to_owned())));
        self
    }

    /// A number; an empty one is not sent.
    pub(super) fn number(mut self, name: &'static str, value: &str) -> Parameters {
        if !value.is_empty() {
            self.values.push((name, Value::Number(value.to_owned())));
        }
        self
    }

    pub(super) fn flag(mut self, name: &'static str, value: bool) -> Parameters {
        self.values.push((name, Value::Flag(value)));
        self
    }

    /// A list of texts; an empty one is not sent.
    pub(super) fn list(mut self, name: &'static str, element: &'static str, values: &[&str]) -> Parameters {
        if !values.is_empty() {
            let values = values.iter().map(|value| (*value).to_owned()).collect();
            self.values.push((name, Value::List(element, values)));
        }
        self
    }

    /// A text that is not shown; an empty one is not sent.
    pub(super) fn secret(mut self, name: &'static str, value: &str) -> Parameters {
        if !value.is_empty() {
            self.values.push((name, Value::Secret(value.to_owned())));
        }
        self
    }

    /// Logs that are delivered; none are not sent.
    pub(super) fn logs(mut self, logs: Vec<Log>) -> Parameters {
        if !logs.is_empty() {
            self.values.push(("LogDeliveryConfigurations", Value::Logs(logs)));
        }
        self
    }

    /// Parameters of a group.
    pub(super) fn settings(mut self, settings: &[(&str, &str)]) -> Parameters {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        self.values.push(("ParameterNameValues", Value::Settings(settings.iter().map(owned).collect())));
        self
    }

    /// Tags; none are not sent.
    pub(super) fn tags(mut self, tags: Vec<(String, String)>) -> Parameters {
        if !tags.is_empty() {
            self.values.push(("Tags", Value::Tags(tags)));
        }
        self
    }

    /// As the Query protocol has them, in form encoding.
    pub(super) fn encoded(&self, version: &str) -> String {
        let mut form = Serializer::new(String::new());
        form.append_pair("Action", self.action).append_pair("Version", version);
        for (name, value) in &self.values {
            match value {
                Value::Text(text) | Value::Number(text) | Value::Secret(text) => {
                    form.append_pair(name, text);
                }
                Value::Logs(logs) => {
                    for (at, log) in logs.iter().enumerate() {
                        let one = format!("{name}.LogDeliveryConfigurationRequest.{}", at + 1);
                        let (details, which) = log.details();
                        form.append_pair(&format!("{one}.LogType"), log.sort)
                            .append_pair(&format!("{one}.DestinationType"), &log.to)
                            .append_pair(&format!("{one}.DestinationDetails.{details}.{which}"), &log.name)
                            .append_pair(&format!("{one}.LogFormat"), &log.format);
                    }
                }
                Value::Flag(on) => {
                    form.append_pair(name, if *on { "true" } else { "false" });
                }
                Value::List(element, texts) => {
                    for (at, text) in texts.iter().enumerate() {
                        // EC2's lists are numbered without a name.
                        let dot = if element.is_empty() { "" } else { "." };
                        form.append_pair(&format!("{name}{dot}{element}.{}", at + 1), text);
                    }
                }
                Value::Settings(settings) => {
                    for (at, (parameter, value)) in settings.iter().enumerate() {
                        let one = format!("{name}.ParameterNameValue.{}", at + 1);
                        form.append_pair(&format!("{one}.ParameterName"), parameter)
                            .append_pair(&format!("{one}.ParameterValue"), value);
                    }
                }
                Value::Tags(tags) => {
                    for (at, (key, value)) in tags.iter().enumerate() {
                        form.append_pair(&format!("{name}.Tag.{}.Key", at + 1), key);
                        form.append_pair(&format!("{name}.Tag.{}.Value", at + 1), value);
                    }
                }
            }
        }
        form.finish()
    }

    /// The form of an ElastiCache call.
    ///
    /// # Errors
    /// If a value is beyond the bounds of forms.
    pub(super) fn form(&self) -> Result<Form, ApiError> {
        Form::parse(&[self.encoded(super::call::ELASTICACHE_VERSION).as_bytes()])
    }

    /// The command of the AWS CLI that says the same.
    pub(super) fn command(&self) -> String {
        let mut words = vec![format!("aws elasticache {}", kebab(self.action))];
        for (name, value) in &self.values {
            let option = kebab(name);
            words.push(match value {
                Value::Text(text) | Value::Number(text) => format!("--{option} {}", shell_word(text)),
                Value::Secret(_) => format!("--{option} \"${}\"", option.replace('-', "_").to_uppercase()),
                Value::Logs(logs) => {
                    let one = |log: &Log| {
                        let (details, which) = log.details();
                        shell_word(&format!(
                            "LogType={},DestinationType={},DestinationDetails={{{details}={{{which}={}}}}},LogFormat={}",
                            log.sort, log.to, shorthand(&log.name), log.format
                        ))
                    };
                    format!("--{option} {}", logs.iter().map(one).collect::<Vec<_>>().join(" "))
                }
                Value::Flag(true) => format!("--{option}"),
                Value::Flag(false) => format!("--no-{option}"),
                Value::List(_, texts) => {
                    let texts: Vec<String> = texts.iter().map(|text| shell_word(text)).collect();
                    format!("--{option} {}", texts.join(" "))
                }
                Value::Settings(settings) => {
                    let one = |(name, value): &(String, String)| {
                        shell_word(&format!("ParameterName={name},ParameterValue={}", shorthand(value)))
                    };
                    format!("--{option} {}", settings.iter().map(one).collect::<Vec<_>>().join(" "))
                }
                Value::Tags(tags) => {
                    let one = |(key, value): &(String, String)| {
                        shell_word(&format!("Key={},Value={}", shorthand(key), shorthand(value)))
                    };
                    format!("--{option} {}", tags.iter().map(one).collect::<Vec<_>>().join(" "))
                }
            });
        }
        words.join(" \\\n    ")
    }
}

/// A word of the AWS CLI for a name of the API: `MultiAZEnabled` is `multi-az-enabled`.
fn kebab(name: &str) -> String {
    // The CLI's own rule splits an "AZs" that ends a name.
    let name = name.replace("AZs", "AZS");
    let letters: Vec<char> = name.chars().collect();
    let mut out = String::new();
    for (at, letter) in letters.iter().enumerate() {
        let after_small = at > 0 && !letters[at - 1].is_ascii_uppercase();
        let before_small = letters.get(at + 1).is_some_and(|next| next.is_ascii_lowercase());
        if at > 0 && letter.is_ascii_uppercase() && (after_small || before_small) {
            out.push('-');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

/// A value in the CLI's shorthand for structures, in which commas and the like mean something.
fn shorthand(text: &str) -> String {
    if text.contains([',', '"', '\'', '=', '[', '{']) {
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        text.to_owned()
    }
}

/// `text` as one word of a POSIX shell; quoted only if it must be.
pub(super) fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_the_cli_has_them() {
        for (name, option) in [
            ("CreateReplicationGroup", "create-replication-group"),
            ("MultiAZEnabled", "multi-az-enabled"),
            ("AZMode", "az-mode"),
            ("NumCacheNodes", "num-cache-nodes"),
            ("PreferredCacheClusterAZs", "preferred-cache-cluster-azs"),
        ] {
            assert_eq!(kebab(name), option);
        }
    }

    #[test]
    fn a_call_and_its_command_say_the_same() {
        let call = Parameters::of("CreateCacheCluster")
            .text("CacheClusterId", "it's")
            .text("Engine", "")
            .number("NumCacheNodes", "2")
            .flag("TransitEncryptionEnabled", false)
            .list("SecurityGroupIds", "SecurityGroupId", &["sg-1", "sg-2"])
            .secret("AuthToken", "s3cret")
            .logs(vec![Log {
                sort: "slow-log",
                to: "kinesis-firehose".into(),
                name: "s".into(),
                format: "text".into(),
            }])
            .tags(vec![("a b".into(), "c,d".into())]);
        assert_eq!(
            call.encoded("v"),
            "Action=CreateCacheCluster&Version=v&CacheClusterId=it%27s&NumCacheNodes=2&TransitEncryptionEnabled=false\
             &SecurityGroupIds.SecurityGroupId.1=sg-1&SecurityGroupIds.SecurityGroupId.2=sg-2\
             &AuthToken=s3cret&LogDeliveryConfigurations.LogDeliveryConfigurationRequest.1.LogType=slow-log\
             &LogDeliveryConfigurations.LogDeliveryConfigurationRequest.1.DestinationType=kinesis-firehose\
             &LogDeliveryConfigurations.LogDeliveryConfigurationRequest.1.DestinationDetails.KinesisFirehoseDetails.DeliveryStream=s\
             &LogDeliveryConfigurations.LogDeliveryConfigurationRequest.1.LogFormat=text\
             &Tags.Tag.1.Key=a+b&Tags.Tag.1.Value=c%2Cd"
        );
        assert_eq!(
            call.command(),
            "aws elasticache create-cache-cluster \\\n    --cache-cluster-id 'it'\\''s' \\\n    --num-cache-nodes 2 \\\n    \
             --no-transit-encryption-enabled \\\n    --security-group-ids sg-1 sg-2 \\\n    \
             --auth-token \"$AUTH_TOKEN\" \\\n    --log-delivery-configurations \
             'LogType=slow-log,DestinationType=kinesis-firehose,DestinationDetails={KinesisFirehoseDetails={DeliveryStream=s}},LogFormat=text' \\\n    \
             --tags 'Key=a b,Value=\"c,d\"'"
        );
    }
}
