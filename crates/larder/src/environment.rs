//! `larder env`: the variables that point AWS tools to the service, in the words of each shell.

use std::io::IsTerminal;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use larder_service::ServiceInfo;

use crate::api::{data_dir, service_info};
use crate::arguments::{Env, Output, Shell};
use crate::failure::Failure;
use crate::terminal::{print, print_json};

pub(crate) fn env(arguments: &Env) -> Result<(), Failure> {
    let info = service_info(&data_dir(&arguments.asking.place)?)?;
    let variables = variables(&info);
    if !answers(&info.endpoint) {
        eprintln!("larder: note: nothing listens at {} now; start the service: larder up", info.endpoint);
    }
    match arguments.asking.format.output {
        Output::Json => print_json(&variables.iter().copied().collect::<std::collections::BTreeMap<_, _>>()),
        Output::Table => print(&script(&variables, arguments.shell.unwrap_or_else(usual_shell))),
    }
    Ok(())
}

fn variables(info: &ServiceInfo) -> [(&'static str, &str); 10] {
    [
        ("AWS_ENDPOINT_URL_ELASTICACHE", &info.endpoint),
        ("AWS_ENDPOINT_URL_EC2", &info.endpoint),
        ("AWS_ENDPOINT_URL_IAM", &info.endpoint),
        ("AWS_ENDPOINT_URL_STS", &info.endpoint),
        ("AWS_ENDPOINT_URL_CLOUDWATCH", &info.endpoint),
        ("AWS_ACCESS_KEY_ID", &info.access_key_id),
        ("AWS_SECRET_ACCESS_KEY", &info.secret_access_key),
        ("AWS_REGION", &info.region),
        ("AWS_DEFAULT_REGION", &info.region),
        ("LARDER_DEFAULT_SUBNET", &info.default_subnet_id),
    ]
}

fn script(variables: &[(&str, &str)], shell: Shell) -> String {
    let mut text = String::new();
    for (name, value) in variables {
        text.push_str(&match shell {
            Shell::Bash => format!("export {name}={}\n", quote_posix(value)),
            Shell::Fish => format!("set -gx {name} {};\n", quote_fish(value)),
            Shell::Powershell => format!("$Env:{name} = {}\n", quote_powershell(value)),
        });
    }
    // A session token of another account in the shell would be sent along with this key, and refused.
    text.push_str(match shell {
        Shell::Bash => "unset AWS_SESSION_TOKEN\n",
        Shell::Fish => "set -e AWS_SESSION_TOKEN;\n",
        Shell::Powershell => "$Env:AWS_SESSION_TOKEN = $null\n",
    });
    if std::io::stdout().is_terminal() {
        text.push_str(match shell {
            Shell::Bash => "# Run this to set them: eval \"$(larder env)\"\n",
            Shell::Fish => "# Run this to set them: larder env | source\n",
            Shell::Powershell => {
                "# Run this to set them: larder env --shell powershell | Invoke-Expression\n"
            }
        });
    }
    text
}

fn usual_shell() -> Shell {
    let shell = std::env::var("SHELL").unwrap_or_default();
    if shell.ends_with("/fish") { Shell::Fish } else { Shell::Bash }
}

/// Single quotes hold everything but a single quote.
fn quote_posix(value: &str) -> String {
    format!("'{}'", value.replace('\'', "'\\''"))
}

/// In fish, backslash and single quote are escaped inside single quotes.
fn quote_fish(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// In PowerShell a single quote is doubled; it takes the typographic ones for quotes too.
fn quote_powershell(value: &str) -> String {
    let mut quoted = String::from("'");
    for c in value.chars() {
        if matches!(c, '\'' | '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{201b}') {
            quoted.push(c);
        }
        quoted.push(c);
    }
    quoted.push('\'');
    quoted
}

/// Whether something listens at the endpoint.
fn answers(endpoint: &str) -> bool {
    let Some(address) = endpoint.strip_prefix("http://") else { return false };
    let Ok(mut addresses) = address.to_socket_addrs() else { return false };
    addresses.any(|address| TcpStream::connect_timeout(&address, Duration::from_millis(500)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_survives_quotes_in_each_shell() {
        let value = "a'b\\c $x `y` \"z\"";
        assert_eq!(quote_posix(value), "'a'\\''b\\c $x `y` \"z\"'");
        assert_eq!(quote_fish(value), "'a\\'b\\\\c $x `y` \"z\"'");
        assert_eq!(quote_powershell(value), "'a''b\\c $x `y` \"z\"'");
    }

    #[test]
    fn a_posix_shell_reads_back_what_was_written() {
        let value = "a'b\\c $x `y` \"z\"\n;!*";
        let text = script(&[("LARDER_TEST", value)], Shell::Bash) + "printf %s \"$LARDER_TEST\"";
        let output = std::process::Command::new("sh").args(["-c", &text]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), value);
    }
}
