//! Amazon resource names: what a resource is called in tags, policies and answers.

use std::fmt;

use super::refusal::Refusal;

/// Longest ARN that is looked at, in bytes.
const ARN_BYTES_MAX: usize = 1024;

/// The name of a resource of ElastiCache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arn {
    /// Region; empty for global datastores.
    pub region: String,
    /// Account, 12 digits.
    pub account: String,
    /// Sort of resource: `cluster`, `parametergroup`, `subnetgroup`, ...
    pub sort: String,
    /// Name of the resource, lower case.
    pub name: String,
}

impl Arn {
    /// The ARN of a resource; the name is put into lower case.
    pub fn new(region: &str, account: &str, sort: &str, name: &str) -> Arn {
        Arn {
            region: region.to_owned(),
            account: account.to_owned(),
            sort: sort.to_owned(),
            name: name.to_ascii_lowercase(),
        }
    }

    /// Reads `arn:{partition}:elasticache:{region}:{account}:{sort}:{name}`.
    ///
    /// # Errors
    /// `InvalidARN`.
    pub fn parse(text: &str) -> Result<Arn, Refusal> {
        let parts: Vec<&str> = text.splitn(7, ':').collect();
        match parts.as_slice() {
            ["arn", partition, "elasticache", region, account, sort, name]
                if text.len() <= ARN_BYTES_MAX
                    && *partition == self::partition(region)
                    && is_account(account)
                    && !sort.is_empty()
                    && !name.is_empty() =>
            {
                Ok(Arn::new(region, account, sort, name))
            }
            _ => {
                let shown: String = text.chars().take(128).collect();
                Err(Refusal::new("InvalidARN", format!("The ARN {shown} is not valid.")))
            }
        }
    }
}

pub(super) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

/// The partition that a region belongs to.
pub(super) fn partition(region: &str) -> &'static str {
    match region {
        region if region.starts_with("cn-") => "aws-cn",
        region if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Arn { region, account, sort, name } = self;
        write!(f, "arn:{}:elasticache:{region}:{account}:{sort}:{name}", partition(region))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        for text in [
            "arn:aws:elasticache:us-east-1:000000000000:cluster:my-cache",
            "arn:aws-cn:elasticache:cn-north-1:123456789012:subnetgroup:a:b",
            "arn:aws:elasticache::123456789012:globalreplicationgroup:ldgnf-x",
        ] {
            assert_eq!(Arn::parse(text).unwrap().to_string(), text);
        }
        let mixed = Arn::parse("arn:aws:elasticache:us-east-1:000000000000:cluster:My-Cache").unwrap();
        assert_eq!(mixed.name, "my-cache");
    }

    #[test]
    fn others_are_refused() {
        for text in [
            "",
            "x",
            "arn:aws:s3:::bucket",
            "arn:aws:elasticache:us-east-1:12345678901:cluster:a",
            "arn:aws:elasticache:us-east-1:00000000000x:cluster:a",
            "arn:aws:elasticache:us-east-1:000000000000:cluster",
            "arn:aws:elasticache:us-east-1:000000000000:cluster:",
            "arn:aws:elasticache:us-east-1:000000000000::a",
            "arn:aws:elasticache:cn-north-1:000000000000:cluster:a",
        ] {
            assert_eq!(Arn::parse(text).unwrap_err().code, "InvalidARN", "{text}");
        }
        let long = format!("arn:aws:elasticache:us-east-1:000000000000:cluster:{}", "x".repeat(1 << 20));
        assert!(Arn::parse(&long).unwrap_err().message.len() < 200);
    }
}
