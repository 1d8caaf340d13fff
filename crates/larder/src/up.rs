//! `larder up`: starts the service, says what a newcomer needs, and stops everything in order.

use std::ffi::OsString;
use std::fmt::Write;
use std::path::{Path, PathBuf};

#[cfg(feature = "sns")]
use larder_service::notify::sns::SnsConfig;
use larder_service::resource::network::DEFAULT_VPC_BASE;
use larder_service::resource::service_update::Release;
#[cfg(feature = "s3")]
use larder_service::vault::s3::S3Config;
use larder_service::{Running, ServiceConfig, serve};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::api::{data_dir, usual_data_dir};
use crate::arguments::Up;
use crate::failure::{Code, Failure};
use crate::terminal::{Paint, say};

/// Exit code of a program that a second Ctrl-C ended, as shells count it (128 + SIGINT).
const INTERRUPTED: i32 = 130;

pub(crate) fn up(arguments: Up) -> Result<(), Failure> {
    crate::journal::start(&arguments.log, None)?;
    let folder = std::path::absolute(data_dir(&arguments.place)?)?;
    let config = config(&arguments, folder.clone())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let stop = stop_signal(arguments.keep_nodes)?;
        let running = serve(config, stop).await.map_err(|error| cannot_start(&error, &arguments))?;
        say(&banner(&running, &folder, Paint::for_stdout()));
        running.finished().await.map_err(|error| Failure::failed(format!("the service stopped: {error}")))
    })
}

fn config(arguments: &Up, data_dir: PathBuf) -> Result<ServiceConfig, Failure> {
    if arguments.account.len() != 12 || !arguments.account.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Failure::new(
            Code::WrongUse,
            format!("--account {}: expected 12 digits", arguments.account),
        ));
    }
    Ok(ServiceConfig {
        data_dir,
        listen: arguments.listen,
        node_program: match &arguments.node_program {
            Some(program) => vec![std::path::absolute(program)?.into_os_string()],
            None => vec![std::env::current_exe()?.into_os_string(), OsString::from("node")],
        },
        release: arguments
            .node_program
            .is_none()
            // Read as it stands in the program: tests put another release there.
            .then(|| Release::parse(std::hint::black_box(env!("CARGO_PKG_VERSION"))))
            .flatten(),
        region: arguments.region.clone(),
        account: arguments.account.clone(),
        vpc_base: arguments.vpc_cidr.map_or(DEFAULT_VPC_BASE, |range| range.0),
        dns_listen: arguments.dns_listen.0,
        buckets: arguments.buckets.as_deref().map(std::path::absolute).transpose()?,
        #[cfg(feature = "s3")]
        s3: s3(arguments),
        #[cfg(feature = "sns")]
        sns: sns(arguments),
        nodes_max: arguments.nodes_max,
        stop_nodes: !arguments.keep_nodes,
    })
}

#[cfg(feature = "s3")]
fn s3(arguments: &Up) -> Option<S3Config> {
    let s3 = &arguments.s3;
    let region = s3.s3_region.as_ref().unwrap_or(&arguments.region);
    let key = s3.s3_access_key_id.clone().zip(s3.s3_secret_access_key.clone());
    Some(S3Config { endpoint: s3.s3_endpoint.clone()?, region: region.clone(), key })
}

#[cfg(feature = "sns")]
fn sns(arguments: &Up) -> Option<SnsConfig> {
    let sns = &arguments.sns;
    let key = sns.sns_access_key_id.clone().zip(sns.sns_secret_access_key.clone());
    Some(SnsConfig { endpoint: sns.sns_endpoint.clone()?, key })
}

fn cannot_start(error: &larder_service::ServeError, arguments: &Up) -> Failure {
    Failure::failed(format!("the service cannot start: {error}")).hint(format!(
        "If another one runs, stop it, or choose --listen (now {}), --dns-listen and --data-dir.",
        arguments.listen
    ))
}

/// Ready at the first SIGINT or SIGTERM. From then on, a second one ends the process at once.
fn stop_signal(keep_nodes: bool) -> Result<impl Future<Output = ()> + Send + 'static, Failure> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        either(&mut interrupt, &mut terminate).await;
        let what = if keep_nodes { "the service; the caches run on" } else { "the caches, then the service" };
        say(&format!("\nStopping {what}. Ctrl-C again stops at once.\n"));
        tokio::spawn(async move {
            either(&mut interrupt, &mut terminate).await;
            std::process::exit(INTERRUPTED);
        });
    })
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

fn banner(running: &Running, folder: &Path, paint: Paint) -> String {
    let info = running.info();
    let larder = own_name();
    let elsewhere = if usual_data_dir().is_some_and(|usual| usual == folder) {
        String::new()
    } else {
        format!(" --data-dir {}", shell_word(&folder.display().to_string()))
    };
    let key =
        if running.first_start() { "made now; the secret: larder env" } else { "the secret: larder env" };
    let dns =
        info.dns.map_or_else(|| "off".to_owned(), |address| format!("{address}, UDP and TCP (larder dns)"));
    let console = info.console.as_deref().unwrap_or("none");
    let facts = [
        ("API", format!("{}  region {}, account {}", info.endpoint, info.region, info.account)),
        ("Console", format!("{console}  sign in with the access key")),
        ("Data folder", folder.display().to_string()),
        ("Access key", format!("{}  {key}", info.access_key_id)),
        ("Subnet", info.default_subnet_id.clone()),
        ("DNS", dns),
        ("Authority", info.authority.as_ref().map_or_else(String::new, |path| path.display().to_string())),
    ];
    let mut text = format!("\n{} {}\n\n", paint.bold("Larder"), env!("CARGO_PKG_VERSION"));
    for (name, value) in facts {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "  {} {value}", paint.dim(&format!("{name:<12}")));
    }
    let first_cache = [
        format!("eval \"$({larder} env{elsewhere})\""),
        "aws elasticache create-cache-cluster --cache-cluster-id sessions --engine redis \\\n      \
         --cache-node-type cache.t3.micro --num-cache-nodes 1"
            .to_owned(),
        format!("{larder} connect sessions"),
    ];
    let _ = writeln!(text, "\nMake a first cache, in another shell:\n");
    for line in first_cache {
        let _ = writeln!(text, "  {}", paint.cyan(&line));
    }
    let _ = writeln!(text, "\nCtrl-C stops everything in order. What happens is logged here:\n");
    text
}

/// How the reader can call this program: `larder` where the PATH finds this very file, else its path.
fn own_name() -> String {
    let Ok(own) = std::env::current_exe() else { return "larder".into() };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("larder")).find(|file| file.is_file());
    if found.and_then(|file| file.canonicalize().ok()).is_some_and(|file| file == own) {
        return "larder".into();
    }
    let here = std::env::current_dir().unwrap_or_default();
    shell_word(&own.strip_prefix(&here).unwrap_or(&own).display().to_string())
}

/// `text` as one word of a POSIX shell; quoted only if it must be.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+,:@%".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_only_when_they_must_be() {
        assert_eq!(shell_word("/a/b-c.d"), "/a/b-c.d");
        assert_eq!(shell_word("/a b/it's"), "'/a b/it'\\''s'");
    }
}
