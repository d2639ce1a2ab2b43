//! Pieces, records and sizes.

use super::*;

/// Seals these pieces at one end and opens them at the other.
fn through(suite: Suite, pieces: &[&[u8]]) -> (usize, Vec<u8>) {
    let (mut server, mut client) = pair(suite);
    let content_bytes = pieces.iter().map(|piece| piece.len()).sum();
    // Longer than it has to be, to see that nothing is written behind.
    let mut out = vec![0xee; client.sealed_bytes(content_bytes) + 7];
    let sealed = client.seal(pieces, &mut out).expect("the key is not used up");
    assert_eq!(sealed, out.len() - 7);
    assert_eq!(out[sealed..], [0xee; 7]);
    (sealed, hear(&mut server, &[&out[..sealed]]).plaintext)
}

#[test]
fn pieces_come_out_joined_in_as_few_records_as_they_fit_into() {
    let bytes: Vec<u8> = (0..40_000_u32).map(|index| (index * 7) as u8).collect();
    for suite in Suite::ALL {
        let overhead = suite.overhead_bytes();
        for (content_bytes, records) in
            [(0, 0), (1, 1), (16_384, 1), (16_385, 2), (32_768, 2), (32_769, 3), (40_000, 3)]
        {
            let content = &bytes[..content_bytes];
            assert_eq!(through(suite, &[content]), (content_bytes + records * overhead, content.to_vec()));
            for cut in [0, 1, content_bytes / 2, content_bytes.saturating_sub(1)] {
                let (front, behind) = content.split_at(cut.min(content_bytes));
                let pieces = [&[][..], front, &[], behind, &[]];
                assert_eq!(through(suite, &pieces), (content_bytes + records * overhead, content.to_vec()));
            }
            let many: Vec<&[u8]> = content.chunks(999).collect();
            assert_eq!(through(suite, &many).1, content);
        }
    }
}

#[test]
fn a_rested_leg_goes_on_where_it_was() {
    for suite in Suite::ALL {
        let (mut server, mut client) = pair(suite);
        for round in 0..3 {
            let content = [round; 5];
            assert_eq!(hear(&mut server, &[&sealed(&mut client, &content)]).plaintext, content);
            server.rest();
            client.rest();
        }
    }
}

/// The size of an idle leg: this value, and nothing on the heap.
#[test]
fn a_rested_leg_is_a_few_hundred_bytes() {
    assert!(size_of::<LegRecords>() <= 336, "{}", size_of::<LegRecords>());
}
