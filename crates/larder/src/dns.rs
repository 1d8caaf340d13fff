//! `larder dns`: does this machine's resolver ask Larder for the names of caches, and how to make it do so.
//!
//! What a machine looks like is read once into `Machine`; what to change there is decided by a pure function
//! (`change`), so that each kind of machine is a test and not an experiment.

use std::io::{BufRead, IsTerminal, Write};
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::Serialize;

use crate::api::{data_dir, service_info};
use crate::arguments::{Dns, DnsAction, Output};
use crate::failure::{Code, Failure};
use crate::terminal::{print, print_json};

const RESOLV_CONF: &str = "/etc/resolv.conf";
const RESOLVED_FOLDER: &str = "/run/systemd/resolve";
const RESOLVED_DROP_IN: &str = "/etc/systemd/resolved.conf.d/larder.conf";
/// The only port that a line of resolv.conf can mean.
const DNS_PORT: u16 = 53;

/// How long the DNS server may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Larder's side, as service.json tells it.
#[derive(Debug, Clone)]
struct Names {
    /// Where the DNS server answers.
    server: SocketAddr,
    /// What all names end in, such as `use1.cache.amazonaws.com`.
    zone: String,
    /// A name that only this server knows.
    probe: String,
}

/// What decides how names are resolved here.
#[derive(Debug, Clone)]
struct Machine {
    /// systemd-resolved runs and the C library asks it.
    resolved: bool,
    resolv_conf: String,
}

impl Machine {
    fn read() -> Self {
        let resolv_conf = std::fs::read_to_string(RESOLV_CONF).unwrap_or_default();
        let resolved =
            Path::new(RESOLVED_FOLDER).is_dir() && nameservers(&resolv_conf).any(|a| a == "127.0.0.53");
        Self { resolved, resolv_conf }
    }
}

/// What has to change, if anything can.
#[derive(Debug, PartialEq, Eq)]
enum Change {
    /// A file for systemd-resolved, and a restart of it.
    ResolvedDropIn(String),
    /// The whole new content of resolv.conf.
    ResolvConf(String),
    /// It already says so.
    Done,
    /// This machine cannot be changed so; why, and what can be done.
    Impossible(String),
}

/// Decides what to change on `machine` so that it asks `dns`.
fn change(machine: &Machine, names: &Names) -> Change {
    let (dns, zone) = (names.server, &names.zone);
    if machine.resolved {
        return Change::ResolvedDropIn(drop_in(dns, zone));
    }
    let own = dns.ip().to_string();
    if dns.port() != DNS_PORT {
        return Change::Impossible(format!(
            "{RESOLV_CONF} can only name a server on port {DNS_PORT}, and Larder's answers on port {}.\n\
             Start the service with a DNS address of its own, such as\n\n    \
             larder up --dns-listen 127.0.0.54:{DNS_PORT}\n\n\
             (port {DNS_PORT} needs root or: sysctl net.ipv4.ip_unprivileged_port_start={DNS_PORT})\n\
             With dnsmasq, this line does it on any port: server=/{zone}/{own}#{}",
            dns.port(),
            dns.port()
        ));
    }
    if nameservers(&machine.resolv_conf).next() == Some(&own) {
        return Change::Done;
    }
    let others = machine.resolv_conf.lines().filter(|line| line.trim() != format!("nameserver {own}"));
    let mut text = format!("nameserver {own}\n");
    others.for_each(|line| text.extend([line, "\n"]));
    Change::ResolvConf(text)
}

fn drop_in(dns: SocketAddr, zone: &str) -> String {
    format!(
        "# Names of Larder's caches; everything else is resolved as before. Written by `larder dns install`.\n\
         [Resolve]\nDNS={dns}\nDomains=~{zone}\n"
    )
}

/// The servers that a resolv.conf names, in order.
fn nameservers(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next()).flatten()
    })
}

pub(crate) fn dns(arguments: &Dns) -> Result<(), Failure> {
    let info = service_info(&data_dir(&arguments.asking.place)?)?;
    let Some(server) = info.dns else {
        return Err(Failure::failed("the service runs without its DNS server")
            .hint("Start it with one: larder up --dns-listen 127.0.0.1:9453"));
    };
    let names = Names { server, zone: info.dns_zone, probe: info.dns_probe.unwrap_or_default() };
    match arguments.action.unwrap_or(DnsAction::Status) {
        DnsAction::Status => status(&names, arguments.asking.format.output),
        DnsAction::Explain => explain(&names),
        DnsAction::Install { yes } => install(&names, yes),
    }
}

/// What `larder dns` answers.
#[derive(Serialize)]
struct Status {
    server: SocketAddr,
    server_answers: bool,
    resolver_asks_larder: bool,
}

/// Asks both: Larder's server directly, and the machine's resolver, for a name that only Larder's server knows.
fn probe(names: &Names) -> Status {
    let server_answers = answers(names.server, &names.probe).unwrap_or(false);
    let found = (names.probe.as_str(), 0).to_socket_addrs();
    let resolver_asks_larder =
        found.is_ok_and(|mut addresses| addresses.any(|address| address.ip().is_loopback()));
    Status { server: names.server, server_answers, resolver_asks_larder }
}

/// Whether the server gives an address for `name` over UDP.
fn answers(server: SocketAddr, name: &str) -> std::io::Result<bool> {
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    socket.connect(server)?;
    let question = question(name);
    socket.send(&question)?;
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer)?;
    // The same id, an answer, no error, at least one record.
    Ok(length >= 12
        && answer[..2] == question[..2]
        && answer[2] & 0x80 != 0
        && answer[3] & 0x0f == 0
        && answer[6..8] != [0, 0])
}

/// A DNS message that asks for the IPv4 addresses of `name`.
fn question(name: &str) -> Vec<u8> {
    let id = std::process::id().to_be_bytes();
    let mut message = vec![id[2], id[3], 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        let label = &label.as_bytes()[..label.len().min(63)];
        message.push(label.len() as u8);
        message.extend_from_slice(label);
    }
    message.extend_from_slice(&[0, 0, 1, 0, 1]);
    message
}

fn status(names: &Names, output: Output) -> Result<(), Failure> {
    let status = probe(names);
    if output == Output::Json {
        print_json(&status);
        return Ok(());
    }
    let zone = &names.zone;
    let effect = if status.resolver_asks_larder {
        format!("This machine asks it for names under {zone}: caches are reached by name.\n")
    } else {
        format!(
            "This machine does not ask it for names under {zone}, so the API gives out IP addresses,\n\
             which work as they are. To use names: larder dns explain\n"
        )
    };
    let answers =
        if status.server_answers { "answers" } else { "does not answer; does the service run? (larder up)" };
    print(&format!("Larder's DNS server at {} {answers}.\n{effect}", status.server));
    Ok(())
}

fn explain(names: &Names) -> Result<(), Failure> {
    let Names { server, zone, .. } = names;
    let machine = Machine::read();
    let mut text = format!(
        "Each node of a cache has a name such as sessions.abc123.0001.{zone}.\n\
         Larder's DNS server at {server} knows these names. Until this machine asks it, the API gives out\n\
         IP addresses instead. While it does ask, caches of the real AWS with the same domain cannot be\n\
         resolved here.\n\n"
    );
    text.push_str(&match change(&machine, names) {
        Change::ResolvedDropIn(content) => format!(
            "Here systemd-resolved resolves names. This file sends only {zone} to Larder:\n\n\
             {RESOLVED_DROP_IN}\n{}\nWrite it and restart systemd-resolved: sudo larder dns install\n\
             To undo it, remove the file and restart systemd-resolved.\n",
            indented(&content)
        ),
        Change::ResolvConf(_) => format!(
            "Here {RESOLV_CONF} names the servers. This line at its top lets Larder be asked first; it refuses\n\
             what it does not know, and the next server is asked:\n\n    nameserver {}\n\n\
             Add it: sudo larder dns install        To undo it, remove the line.\n",
            server.ip()
        ),
        Change::Done => format!("{RESOLV_CONF} names Larder first already: nothing to do.\n"),
        Change::Impossible(why) => format!("{why}\n"),
    });
    print(&text);
    Ok(())
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

fn install(names: &Names, yes: bool) -> Result<(), Failure> {
    match change(&Machine::read(), names) {
        Change::Done => print("Nothing to do: this machine names Larder's DNS server first already.\n"),
        Change::Impossible(why) => return Err(Failure::failed(why)),
        Change::ResolvedDropIn(content) => {
            confirm(&format!("Write {RESOLVED_DROP_IN} and restart systemd-resolved?"), yes)?;
            write_as_root(RESOLVED_DROP_IN, &content)?;
            restart_resolved()?;
        }
        Change::ResolvConf(content) => {
            confirm(&format!("Put `nameserver {}` at the top of {RESOLV_CONF}?", names.server.ip()), yes)?;
            write_as_root(RESOLV_CONF, &content)?;
        }
    }
    let status = probe(names);
    if status.resolver_asks_larder {
        print("Done: caches are reached by name now.\n");
        return Ok(());
    }
    let why = if status.server_answers {
        "the resolver does not ask it yet"
    } else {
        "the DNS server does not answer"
    };
    Err(Failure::failed(format!("written, but {why}")).hint("Look again in a moment: larder dns"))
}

fn confirm(question: &str, yes: bool) -> Result<(), Failure> {
    let stdin = std::io::stdin();
    if yes {
        return Ok(());
    }
    if !stdin.is_terminal() {
        return Err(
            Failure::new(Code::WrongUse, "this changes the machine and needs a yes").hint("Add --yes")
        );
    }
    let mut stderr = std::io::stderr();
    write!(stderr, "{question} [y/N] ")?;
    stderr.flush()?;
    let mut line = String::new();
    stdin.lock().read_line(&mut line)?;
    if matches!(line.trim(), "y" | "yes" | "Y") {
        Ok(())
    } else {
        Err(Failure::failed("nothing was changed"))
    }
}

fn write_as_root(path: &str, content: &str) -> Result<(), Failure> {
    if let Some(folder) = Path::new(path).parent() {
        std::fs::create_dir_all(folder).map_err(|error| not_written(path, &error))?;
    }
    // In place, not by rename: resolv.conf may be a mount of its own, which cannot be renamed over.
    std::fs::write(path, content).map_err(|error| not_written(path, &error))
}

fn not_written(path: &str, error: &std::io::Error) -> Failure {
    let failure = Failure::new(Code::Denied, format!("cannot write {path}: {error}"));
    if error.kind() == std::io::ErrorKind::PermissionDenied {
        return failure
            .hint("Run it as root, with the service's folder: sudo larder dns install --data-dir FOLDER");
    }
    failure
}

fn restart_resolved() -> Result<(), Failure> {
    let restarted = Command::new("systemctl").args(["restart", "systemd-resolved"]).status();
    match restarted {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::failed(format!("systemd-resolved did not restart ({status})"))
            .hint("Restart it yourself: systemctl restart systemd-resolved")),
        Err(error) => Err(Failure::failed(format!("cannot run systemctl: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(resolved: bool, resolv_conf: &str) -> Machine {
        Machine { resolved, resolv_conf: resolv_conf.into() }
    }

    fn server(text: &str) -> Names {
        let zone = "use1.cache.amazonaws.com";
        Names { server: text.parse().unwrap(), zone: zone.into(), probe: format!("probe.{zone}") }
    }

    #[test]
    fn resolved_gets_a_drop_in_for_the_domain_only() {
        let Change::ResolvedDropIn(text) = change(&machine(true, ""), &server("127.0.0.1:9453")) else {
            panic!()
        };
        assert!(text.contains("DNS=127.0.0.1:9453\nDomains=~use1.cache.amazonaws.com\n"));
    }

    #[test]
    fn resolv_conf_gets_one_line_once() {
        let before = "search home\nnameserver 10.0.0.1\n";
        let Change::ResolvConf(after) = change(&machine(false, before), &server("127.0.0.54:53")) else {
            panic!()
        };
        assert_eq!(after, "nameserver 127.0.0.54\nsearch home\nnameserver 10.0.0.1\n");
        assert_eq!(change(&machine(false, &after), &server("127.0.0.54:53")), Change::Done);
        let late = "nameserver 10.0.0.1\nnameserver 127.0.0.54\n";
        let Change::ResolvConf(after) = change(&machine(false, late), &server("127.0.0.54:53")) else {
            panic!()
        };
        assert_eq!(after, "nameserver 127.0.0.54\nnameserver 10.0.0.1\n");
    }

    #[test]
    fn a_question_is_a_dns_message() {
        let message = question("a.bc");
        assert_eq!(message[2..], [1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'a', 2, b'b', b'c', 0, 0, 1, 0, 1]);
    }

    #[test]
    fn resolv_conf_cannot_name_a_port() {
        let Change::Impossible(why) = change(&machine(false, ""), &server("127.0.0.1:9453")) else {
            panic!()
        };
        assert!(why.contains("--dns-listen 127.0.0.54:53") && why.contains("#9453"));
    }
}
