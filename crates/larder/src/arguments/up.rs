//! The service itself: starting it, pointing tools and the resolver to it.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{Asking, Where};

const UP_EXAMPLES: &str = "\
Examples:
  larder up                                         API on 127.0.0.1:9400, data in ~/.local/share/larder
  larder up --data-dir ./caches --listen 127.0.0.1:9500
  larder up --region eu-west-1 --log debug
  larder up --keep-nodes                            caches run on after Ctrl-C; the next `up` takes them over

Ctrl-C stops the caches and the service in order; a second Ctrl-C stops at once.";

#[derive(Args, Debug)]
#[command(after_help = UP_EXAMPLES)]
pub(crate) struct Up {
    #[command(flatten)]
    pub(crate) place: Where,
    /// Address and port of the API; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9400", help_heading = "Service")]
    pub(crate) listen: SocketAddr,
    /// AWS region to play
    #[arg(long, default_value = "us-east-1", help_heading = "Service")]
    pub(crate) region: String,
    /// AWS account to play, 12 digits
    #[arg(long, value_name = "DIGITS", default_value = "000000000000", hide = true)]
    pub(crate) account: String,
    /// Where the built-in DNS server listens; `none` switches it off
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9453", help_heading = "Network")]
    pub(crate) dns_listen: ListenOrNone,
    /// Range of loopback addresses that the default VPC takes; only for a new data folder
    #[arg(long, value_name = "A.B.0.0/16", hide = true)]
    pub(crate) vpc_cidr: Option<VpcRange>,
    /// Program that runs the nodes of caches in place of Larder's own engine; it is started in the node's folder with the
    /// name of the configuration file
    #[arg(long, value_name = "PROGRAM", help_heading = "Service")]
    pub(crate) node_program: Option<PathBuf>,
    /// Folder of the buckets for exported snapshots: each folder in it is one [default: buckets in the data folder]
    #[arg(long, value_name = "FOLDER", help_heading = "Service")]
    pub(crate) buckets: Option<PathBuf>,
    /// Most cache nodes that there may be: a quota of the account, which AWS raises on request
    #[arg(long, value_name = "NUMBER", default_value_t = larder_service::resource::cluster::REGION_NODES_MAX, help_heading = "Service")]
    pub(crate) nodes_max: usize,
    /// Leave the caches running when the service stops
    #[arg(long, help_heading = "Service")]
    pub(crate) keep_nodes: bool,
    /// How much to log: error, warn, info, debug, trace, or a filter such as `info,larder_service::act=debug`
    #[arg(long, value_name = "LEVEL", env = "LARDER_LOG", default_value = "info", hide_env = true)]
    pub(crate) log: String,
    #[cfg(feature = "s3")]
    #[command(flatten)]
    pub(crate) s3: S3,
    #[cfg(feature = "sns")]
    #[command(flatten)]
    pub(crate) sns: Sns,
}

/// Buckets of a server that speaks the protocol of S3, in the place of folders.
#[cfg(feature = "s3")]
#[derive(Args, Debug)]
#[command(next_help_heading = "Buckets of a server")]
pub(crate) struct S3 {
    /// URL of a server with the S3 protocol, whose buckets take exported snapshots and give first data
    #[arg(
        long,
        value_name = "URL",
        env = "LARDER_S3_ENDPOINT",
        conflicts_with = "buckets",
        hide_env_values = true
    )]
    pub(crate) s3_endpoint: Option<String>,
    /// Region of these buckets [default: that of --region]
    #[arg(
        long,
        value_name = "REGION",
        env = "LARDER_S3_REGION",
        requires = "s3_endpoint",
        hide_env_values = true
    )]
    pub(crate) s3_region: Option<String>,
    /// Access key for them; without one requests are not signed
    #[arg(
        long,
        value_name = "KEY",
        env = "LARDER_S3_ACCESS_KEY_ID",
        requires = "s3_endpoint",
        requires = "s3_secret_access_key",
        hide_env_values = true
    )]
    pub(crate) s3_access_key_id: Option<String>,
    /// Its secret; better given by the variable, as other users can see the arguments of programs
    #[arg(
        long,
        value_name = "SECRET",
        env = "LARDER_S3_SECRET_ACCESS_KEY",
        requires = "s3_access_key_id",
        hide_env_values = true
    )]
    pub(crate) s3_secret_access_key: Option<String>,
}

/// Topics of a server that speaks the protocol of SNS.
#[cfg(feature = "sns")]
#[derive(Args, Debug)]
#[command(next_help_heading = "Notifications")]
pub(crate) struct Sns {
    /// URL of a server with the protocol of SNS, at whose topics (NotificationTopicArn) the events of caches are published
    #[arg(long, value_name = "URL", env = "LARDER_SNS_ENDPOINT", hide_env_values = true)]
    pub(crate) sns_endpoint: Option<String>,
    /// Access key that signs for that [default: the service's own]
    #[arg(
        long,
        value_name = "KEY",
        env = "LARDER_SNS_ACCESS_KEY_ID",
        requires = "sns_endpoint",
        requires = "sns_secret_access_key",
        hide_env_values = true
    )]
    pub(crate) sns_access_key_id: Option<String>,
    /// Its secret; better given by the variable, as other users can see the arguments of programs
    #[arg(
        long,
        value_name = "SECRET",
        env = "LARDER_SNS_SECRET_ACCESS_KEY",
        requires = "sns_access_key_id",
        hide_env_values = true
    )]
    pub(crate) sns_secret_access_key: Option<String>,
}

/// An address to listen on, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ListenOrNone(pub(crate) Option<SocketAddr>);

impl std::str::FromStr for ListenOrNone {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        let address =
            text.parse().map_err(|_| "expected ADDRESS:PORT, such as 127.0.0.1:9453, or none".to_owned())?;
        Ok(Self(Some(address)))
    }
}

/// A /16 inside 127.0.0.0/8, by its first address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct VpcRange(pub(crate) std::net::Ipv4Addr);

impl std::str::FromStr for VpcRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || "expected a /16 of the loopback range other than 127.0, such as 127.70.0.0/16".to_owned();
        let base: std::net::Ipv4Addr =
            text.strip_suffix("/16").and_then(|a| a.parse().ok()).ok_or_else(wrong)?;
        let [first, second, third, fourth] = base.octets();
        if first == 127 && second != 0 && third == 0 && fourth == 0 { Ok(Self(base)) } else { Err(wrong()) }
    }
}

const ENV_EXAMPLES: &str = "\
Examples:
  eval \"$(larder env)\"                            bash, zsh, sh
  larder env --shell fish | source
  larder env --shell powershell | Invoke-Expression
  larder env --output json                        for scripts";

#[derive(Args, Debug)]
#[command(after_help = ENV_EXAMPLES)]
pub(crate) struct Env {
    /// Shell to write for; bash serves zsh and sh too [default: found from $SHELL]
    #[arg(long, value_enum)]
    pub(crate) shell: Option<Shell>,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shell {
    Bash,
    Fish,
    Powershell,
}

const DNS_EXAMPLES: &str = "\
Examples:
  larder dns                      does this machine's resolver know the names of the caches?
  larder dns explain              what to change, and why
  sudo larder dns install --yes   change it (--data-dir names the folder of the service's user)";

#[derive(Args, Debug)]
#[command(after_help = DNS_EXAMPLES)]
pub(crate) struct Dns {
    #[command(subcommand)]
    pub(crate) action: Option<DnsAction>,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[derive(Subcommand, Debug, Clone, Copy)]
pub(crate) enum DnsAction {
    /// Tell whether the resolver of this machine asks Larder (the default)
    Status,
    /// Tell what can be changed on this machine, and what it means
    Explain,
    /// Make the change, where this machine allows it
    Install {
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vpc_is_a_loopback_sixteenth() {
        assert_eq!("127.70.0.0/16".parse(), Ok(VpcRange([127, 70, 0, 0].into())));
        for wrong in ["10.0.0.0/16", "127.0.0.0/16", "127.70.1.0/16", "127.70.0.0/8", "127.70.0.0"] {
            assert!(wrong.parse::<VpcRange>().is_err(), "{wrong}");
        }
    }
}
