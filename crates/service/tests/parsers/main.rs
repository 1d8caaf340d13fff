//! The parsers that a stranger's call of the API reaches bear any bytes: what their fuzz targets assert, of sound inputs with
//! damage and of noise. `LARDER_SEED` repeats a run, `LARDER_ROUNDS` makes it longer.

#![expect(clippy::print_stdout, reason = "the seed of a run, to repeat it")]
#![expect(unreachable_pub, reason = "the targets are public where they are fuzzed")]

#[path = "../../../engine/tests/parsers/noise.rs"]
mod noise;
#[path = "../../../../fuzz/src/query.rs"]
mod query;
#[path = "../../../../fuzz/src/signature.rs"]
mod signature;

use noise::Noise;

/// Inputs per target unless told.
const ROUNDS: u64 = 4000;

#[test]
fn forms() {
    let mut noise = Noise::new("query", ROUNDS);
    println!("LARDER_SEED={}", noise.seed);
    let sound: &[&[u8]] = &[
        b"Action=X&Version=1&Name=a%20b&MaxRecords=20&ApplyImmediately=true&Port=6379",
        b"SubnetIds.member.1=a&SubnetIds.member.2=b&Tags.Tag.1.Key=k&Tags.Tag.1.Value=v",
        b"StartTime=2026-11-23T14%3A00%3A00Z&Source=user",
    ];
    let words: &[&[u8]] =
        &[b"&", b"=", b".", b"%", b"%zz", b".member.", b".99999999999999999999", b"+", b"%00"];
    for _ in 0..noise.rounds {
        query::run(&noise.input(sound, words));
    }
}

#[test]
fn signatures() {
    let mut noise = Noise::new("signature", ROUNDS);
    println!("LARDER_SEED={}", noise.seed);
    let sound: &[&[u8]] = &[
        b"AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/20261123/us-east-1/elasticache/aws4_request, SignedHeaders=host;x-amz-date, Signature=00",
        b"20261123T140000Z",
        b"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAEXAMPLE%2F20261123%2Fus-east-1%2Felasticache%2Faws4_request&X-Amz-Date=20261123T140000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=00",
    ];
    let words: &[&[u8]] =
        &[b"/", b",", b"=", b";", b"Signature=", b"%2F", b"T", b"Z", b"99999999999999999999"];
    for _ in 0..noise.rounds {
        let parts: [String; 3] = std::array::from_fn(|at| {
            String::from_utf8_lossy(&noise.input(&sound[at..=at], words)).into_owned()
        });
        let body = noise.bytes(30);
        signature::run((&parts[0], &parts[1], &parts[2], &body));
    }
}
