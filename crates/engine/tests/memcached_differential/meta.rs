//! The meta commands. What is compared is memcached of 2025 (1.6.32 and later); older ones lack some flags, and then less
//! is compared. CAS uniques are given by `E`, so that both sides have the same ones.

use super::{Both, Random, now_ms};

/// Patch version of 1.6 from which on all flags are there that we have.
const COMPLETE: u32 = 40;

#[test]
fn meta_requests_are_answered_alike() {
    let Some(both) = Both::start("meta".into()) else { return };
    let long = "k".repeat(251);
    let conversations = "mg a v|mg a k O1|mg a q;mn|ms a 2;hi;mg a;mg a v;mg a s v k f O7|ms a 2 F5;hi;mg a t f h l s v k|\
        ms a 2;hi;mg a h;mg a h;get a;ms a 2;ho;mg a h;mg a u;mg a h|mg a v v|mg a W|mg a vk|mg a O|mg a N|mg a Tx|\
        ms a 2;hi;mg a q;mn;mg a q v k O1;mn|mg YQ= b k v|mg b* b|ms YSBi 2 b k;hi;md YSBi b k|mg a P Lfoo v|\
        mg new N30 v t;mg new N30 v t;mg new v t;ms new 2;hi;mg new v t|ms a 2;hi;mg a T30 t;mg a t;mg a R60 t;\
        mg a R60 t;mg a R20 t;mg a t|ms a 2 T30;hi;mg a R20 t;mg a R31 t;mg a t;touch a 100;mg a t|ms a|ms a x|\
        ms a -1|ms a S2;hi|ms a 2 T0 F9 k O7;hi|ms a 2;++;ms a 2 MA;--;ms a 2 MP;//;mg a v;ms a 2 ME;xx;ms a 2 MR;yy;\
        mg a v|ms no 2 MR;xx|ms no 2 MA;xx|ms no 2 MP;xx|ms no 2 ME;xx;mg no v|ms a 2 MX;xx|ms a 2 q;xx;mn|\
        ms a 2 C1;xx|ms a 2 k O1 q C1;xx;mn|ms a 2;xx;ms a 2 k C9999999;yy;mg a v|ms a 2 T30;abc|ms a 2;abcd|\
        ms a 2 Fx;ab|ms a 2 F4294967296;ab|ms a 2 F4294967295;ab;mg a f|ms a 2 Tx;ab|ms a 2 T-1;ab;mg a|ms a 0;;mg a v s|\
        md a|ms a 1;x;md a k O1;mg a|md a q k;mn|ms a 1;x;md a q;mn;mg a|ms a 1;x;md a I T30;mg a t v;mg a t v;ms a 1;y;\
        mg a t v|ms a 1;x;md a I;get a;mg a v;touch a 9;mg a v|ms a 1;1;md a I;incr a 1;mg a v;ms a 1 MA;2;mg a v|\
        ma n|ma n N0;mg n v|ma n N0 J13 v t;ma n v;ma n D5 v;ma n MD v;ma n D500 M- v;ma n M+ v q;mn;ma n v k O9|\
        ma n Dx|ma n D-1|ma n MX|ma n J18446744073709551615 N0 v;ma n v|ms s 2;ab;ma s|ma n q;mn|ma n b|ma n h|\
        ma n N30 v t;ma n T60 v t;mg n t|ma n N0;ma n v v|me no|mn|mn foo|mx|md a h;md a v|ms a 2 v;ab|ms a 2 t;ab|\
        ms a 1 C0;x|ms a 1;x;ms a 1 C0;y;mg a v|ma n C0|ma n C0 N0|ms n 1;1;ma n C0 v|md a C0|ms a 1;x;md a C0 k;mg a v|\
        ms a 1;x;mg a C0 v|ms a 1;x;ms a 1 C0 I;y;mg a v|ms a 1 C0 I;y;mg a v|ms a 1 C0 MA;x|ms a 1 C0 MR;x|ms a 1 C0 ME;x|\
        ms a 1;x;ms a 1 C0 ME;y|ms a 1;x;ms a 1 C0 MA;y;mg a v|ms a 1;x;md a C0 I;mg a v";
    let newer = "mg a I|mg a D1|mg a Dx|mg a Jx|ms a 2 M;xx|mg a C|mg a E|mg a R|mg a T|md a Cx|mg a!|ms a 2 !;xx|mg  a  v|\
        set a 0 0 2;hi;mg a v f t;add a 0 0 1;x;ms a 2 ME;xx|mg K v|ms K 2;xx|md K|ma K|me K|ms a 2 c c;xx|\
        mg a v k s t f h l q u O1 R9 T90 P L I c|mg a v k s t f h l q u O1 R9 T90 P L I c D1 J1|ms a 5;x;y|\
        ms n 1;9;ma n v;ma n MD v|ms f 3 F7 T50;abc;gat 60 f;mg f t f v;mg f T0 t|ms a 3 S3;abc|\
        ms a 2 E900001 c;hi;mg a c v;gets a|ms a 2 E900001;hi;ms a 2 C900001 E900002 c;ho;mg a c v;\
        ms a 2 C900001 c;hu|ms a 2 E900005;hi;ms a 2 C900001 I;ho;mg a v;mg a v;ms a 2 C900009 I;hu|\
        ms a 2 E900005 T50;hi;ms a 2 C900001 I T90 F3;ho;mg a v t f;mg a v t f|ms a 2 E900005 T20;hi;mg a R30 t;\
        ms a 2 C900001 I T90;ho;mg a v t;mg a v|ms a 2 E900005 T20;hi;md a I E900006;mg a v;ms a 2 C900005 MR I E900007;ho;\
        mg a v t c;mg a v|mg a N30 E900005 v t;ms a 2 C900001 I;xx;mg a v t;mg a v|ms a 2 E900005;hi;\
        ms a 2 C900001 I E900006;ho;ms a 2 C900002 I T90;hu;mg a v t;mg a v t|\
        ms a 2 E900005;hi;md a C900001;md a C900005 I T30 E900006;mg a v t c;mg a v t c|ms a 2 E900005 F7 T30;hi;\
        md a x k;mg a v s f t c;md a x T40;mg a t|ms a 2 F5;x\u{1};md a x C1;mg a f|ms no 2 MA N30 F5;xx;mg no v t f;\
        ms no 2 MP N60;yy;mg no v t f|ms a 2 E900001;hi;mg a C900001 v c;mg a C900002 v c;mg a C900002 c|\
        ma n N0 E900003 c;ma n C900003 E900004 c v;ma n C900003 c v|mg v N30 E900007 c v k f s h l O1;mg v c|\
        ms a 2 E18446744073709551615;hi;gets a|ms a 2 s;hi;ms a 2 C1 s c;ho|ms a 2 E900001;a;ms a 2 MA C900009 I;b|\
        ms a 2 E900003;ab;ms a 2 MA E900004 c;cd;mg a c v|ms a 2 E-1;hi|ms a 2 E18446744073709551616;hi|mg|ms|md|ma|me|\
        ms a 1 E900001;x;md a I E900009;mg a c;mg a c;md a x I T10;mg a v t f|ms a 2 M;xx|ms a 1 Ma;x|ms a 1 Me;x|\
        ms a 1 Mp;x|ms a 1 Mr;x|ms a 1 Ms;x|ms a 1;x;ms a 1 MAppend;y;mg a v|ma n Mi|ma n Md|\
        ms n 1;9;ma n MDecr v;ma n MIncr v";
    let newer = if both.patch >= COMPLETE { newer } else { "" };
    for conversation in conversations.split('|').chain(newer.split('|')) {
        let text = conversation.replace('K', &long).replace(';', "\r\n");
        both.same(b"flush_all\r\n");
        if both.patch < COMPLETE
            && (text.starts_with("mg a!")
                || text.contains("abcd")
                || text.contains(" !")
                || text.contains("967296"))
        {
            continue; // other words for the same errors
        }
        both.same(format!("{}\r\n", text.trim_start()).as_bytes());
    }
}

#[test]
fn random_meta_conversations_are_answered_alike() {
    let seed = std::env::var("LARDER_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(now_ms);
    let rounds = std::env::var("LARDER_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(400);
    let Some(both) = Both::start(format!("LARDER_SEED={seed}")) else { return };
    if both.patch < COMPLETE {
        return; // too many flags would be refused there
    }
    let mut random = Random(seed);
    for _ in 0..rounds {
        let mut input = Vec::new();
        for _ in 0..1 + random.next() % 10 {
            request(&mut random, &mut input);
        }
        input.extend_from_slice(b"mn\r\n");
        both.same(&input);
    }
}

/// Appends a meta request, or a classic one about the same keys.
fn request(random: &mut Random, input: &mut Vec<u8>) {
    let flags = |random: &mut Random, from: &[&str]| {
        let mut chosen: Vec<&str> = Vec::new();
        for _ in 0..random.next() % 5 {
            let flag = random.pick(from);
            if chosen.iter().all(|other| other.as_bytes()[0] != flag.as_bytes()[0]) {
                chosen.push(flag);
            }
        }
        chosen.iter().map(|flag| format!(" {flag}")).collect::<String>()
    };
    let key = random.pick(&["a", "b", "n"]);
    let line = match random.next() % 8 {
        0..3 => {
            const FLAGS: [&str; 16] = [
                "v", "k", "f", "s", "h", "t", "q", "u", "Oxy", "N0", "N500", "R30", "T100", "T0", "C900001",
                "Pz",
            ];
            let mut flags = flags(random, &FLAGS);
            if key == "n" {
                // Counting there makes another item, or not: not while nobody else holds it, as an earlier request of
                // the same pipeline does.
                for flag in [" h", " t", " R30", " N500", " N0"] {
                    flags = flags.replace(flag, "");
                }
            }
            if flags.contains('T') {
                // What a new item gets of two times depends on their order there.
                flags = flags.replace(" N500", "").replace(" N0", "");
            }
            format!("mg {key}{flags}")
        }
        3 | 4 => {
            const FLAGS: [&str; 18] = [
                "k", "s", "q", "Oz", "F5", "T0", "T100", "MA", "MP", "MS", "ME", "MR", "I", "C900001",
                "E900001", "E900003", "C900003", "C0",
            ];
            // A number that grows becomes another item there, without the expiration time of the first.
            let value =
                if key == "n" { random.pick(&["7000", "1100"]) } else { random.pick(&["x", "", "text"]) };
            let mut flags = flags(random, &FLAGS);
            if key == "n" {
                flags = flags.replace(" MA", "").replace(" MP", ""); // pads differ
                flags = flags.replace(" I", ""); // and what is known of the item
            }
            format!("ms {key} {}{flags}\r\n{value}", value.len())
        }
        5 => {
            const FLAGS: [&str; 10] =
                ["C0", "k", "q", "O3", "I", "x", "T100", "C900001", "E900003", "C900003"];
            let flags = flags(random, &FLAGS);
            format!("md {key}{}", if key == "n" { flags.replace(" I", "") } else { flags })
        }
        6 => {
            const FLAGS: [&str; 11] =
                ["v", "k", "q", "O3", "N0", "N100", "J5000", "D3", "T100", "C900001", "C0"];
            format!("ma n{}", flags(random, &FLAGS))
        }
        _ => random
            .pick(&[
                "get a b n",
                "set a 3 0 1\r\n1",
                "touch b 100",
                "delete n",
                "gat 100 a",
                "flush_all",
                "append b 0 0 1\r\n!",
            ])
            .to_owned(),
    };
    input.extend_from_slice(line.as_bytes());
    input.extend_from_slice(b"\r\n");
}
