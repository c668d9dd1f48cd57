//! The packed records between us and the scripts: whatever bytes Redis answers are read or refused.

use tollgate::redis::{Packer, Unpacker};

use crate::mutate;
use crate::run::{Fate, run};

fn example() -> Vec<u8> {
    let mut packer = Packer::default();
    packer.array(4).text("ok").ints(&[1, -1, 1 << 53, 127]);
    packer.array(2).text("acme").bytes(&[0, 255, 7]);
    packer.array(0).int(-8_000_000_000_000_000).text(&"x".repeat(300));
    packer.into_bytes()
}

#[test]
fn the_unpacker_takes_any_bytes() {
    let (whole, other) = (example(), vec![0xdf, 0xff, 0xff, 0xff, 0xff, 0xdd, 0xdb, 0xc6, 0xca, 0xc0]);
    let lent = [whole.clone(), other];
    run("codec", |rng| {
        let bytes = mutate::bytes(rng, &whole, &lent, 64 * 1024);
        let mut input = Unpacker::new(&bytes);
        // Every value that is read takes at least a byte, so this ends.
        for values in 0..=bytes.len() {
            let read = match rng.below(4) {
                0 => input.array().map(drop),
                1 => input.int().map(drop),
                2 => input.text().map(drop),
                _ => input.bytes().map(drop),
            };
            if let Err(fault) = read {
                assert!(
                    fault.to_string().contains("expected") || fault.to_string().contains("cut off"),
                    "{fault}"
                );
                return if values > 2 { Fate::Accepted } else { Fate::Refused };
            }
        }
        Fate::Accepted
    });
}

#[test]
fn what_is_packed_is_what_is_read() {
    run("codec, both ways", |rng| {
        let numbers = [rng.number() as i64, -(rng.below(1 << 53) as i64), rng.below(300) as i64];
        let text = mutate::text(rng, "acme", &[], 70_000);
        let mut packer = Packer::default();
        packer.array(5).ints(&numbers).text(&text).bytes(text.as_bytes());
        let bytes = packer.into_bytes();
        let mut input = Unpacker::new(&bytes);
        assert_eq!(input.array(), Ok(5));
        assert_eq!((input.array(), input.ints()), (Ok(3), Ok(numbers)));
        assert_eq!((input.text(), input.bytes()), (Ok(text.as_str()), Ok(text.as_bytes())));
        Fate::Accepted
    });
}
