//! Names of keys for encryption at rest. Larder has no key service and encrypts nothing at rest: it keeps and shows the name
//! as ElastiCache does, and refuses what could be no key.

use super::refusal::Refusal;

/// Longest name of a key: an ARN with an alias of 256 characters.
const NAME_BYTES_MAX: usize = 2048;

/// A key by its id, its alias, or the ARN of either.
///
/// # Errors
/// `InvalidKMSKeyFault`.
pub fn key(text: &str) -> Result<String, Refusal> {
    let name = match text.strip_prefix("arn:") {
        None => Some(text),
        // arn:PARTITION:kms:REGION:ACCOUNT:NAME
        Some(rest) => match rest.splitn(5, ':').collect::<Vec<_>>().as_slice() {
            [partition, "kms", region, account, name]
                if partition.starts_with("aws") && !region.is_empty() && is_account(account) =>
            {
                name.strip_prefix("key/").or(name.starts_with("alias/").then_some(*name))
            }
            _ => None,
        },
    };
    let fits = |name: &str| match name.strip_prefix("alias/") {
        Some(alias) => {
            !alias.is_empty() && alias.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_-".contains(&b))
        }
        None => is_id(name),
    };
    if text.len() <= NAME_BYTES_MAX && name.is_some_and(fits) {
        return Ok(text.to_owned());
    }
    let shown: String = text.chars().take(100).collect();
    Err(Refusal::new("InvalidKMSKeyFault", format!("The KMS key supplied is not valid: {shown}.")))
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

/// A UUID, or the id of a key of several regions: `mrk-` and 32 digits.
fn is_id(text: &str) -> bool {
    let is_hexadecimal =
        |part: &str, length| part.len() == length && part.bytes().all(|b| b.is_ascii_hexdigit());
    match text.strip_prefix("mrk-") {
        Some(digits) => is_hexadecimal(digits, 32),
        None => {
            let parts: Vec<&str> = text.split('-').collect();
            parts.len() == 5
                && parts.iter().zip([8, 4, 4, 4, 12]).all(|(part, length)| is_hexadecimal(part, length))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_from_what_is_none() {
        const ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";
        for good in [
            ID.to_owned(),
            "mrk-1234abcd12ab34cd56ef1234567890ab".into(),
            "alias/team/caches".into(),
            format!("arn:aws:kms:us-east-1:111122223333:key/{ID}"),
            "arn:aws:kms:us-east-1:111122223333:alias/caches".into(),
        ] {
            assert_eq!(key(&good), Ok(good.clone()));
        }
        for bad in [
            "",
            "nonsense",
            "alias/",
            "alias/with space",
            "arn:aws:kms:us-east-1:111122223333:key/nonsense",
            "arn:aws:s3:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            "arn:aws:kms:us-east-1:1:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            "arn:aws:kms",
            &format!("alias/{}", "x".repeat(NAME_BYTES_MAX)),
        ] {
            assert_eq!(key(bad).unwrap_err().code, "InvalidKMSKeyFault", "{bad}");
        }
    }
}
