//! Frames as bytes.

/// The mask of every client frame of the tests.
pub const MASK: [u8; 4] = [0x11, 0x22, 0x33, 0x44];

/// A frame from a server; `first` is FIN, reserved bits and opcode.
pub fn server_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(first, payload.len(), 0);
    bytes.extend_from_slice(payload);
    bytes
}

/// A frame from a client.
pub fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(first, payload.len(), 0x80);
    bytes.extend_from_slice(&MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

/// A Close frame's payload.
pub fn close_payload(code: u16, reason: &str) -> Vec<u8> {
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(reason.as_bytes());
    payload
}

fn header(first: u8, len: usize, mask_bit: u8) -> Vec<u8> {
    let mut bytes = vec![first];
    match len {
        0..=125 => bytes.push(mask_bit | len as u8),
        126..=65_535 => {
            bytes.push(mask_bit | 126);
            bytes.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            bytes.push(mask_bit | 127);
            bytes.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    bytes
}
