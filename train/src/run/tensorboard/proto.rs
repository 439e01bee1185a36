//! The wire format of protocol buffers, as far as event files need it.
//!
//! A message is a sequence of fields; a field is its key (number · 8 + wire type) and its value.
//! Wire types: 0 variable-length integer, 1 eight bytes, 2 a length and so many bytes, 5 four
//! bytes.

/// A message under construction.
#[derive(Debug, Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn integer(&mut self, number: u32, value: u64) {
        self.key(number, 0);
        self.varint(value);
    }

    pub(super) fn double(&mut self, number: u32, value: f64) {
        self.key(number, 1);
        self.0.extend(value.to_le_bytes());
    }

    pub(super) fn float(&mut self, number: u32, value: f32) {
        self.key(number, 5);
        self.0.extend(value.to_le_bytes());
    }

    pub(super) fn bytes(&mut self, number: u32, value: &[u8]) {
        self.key(number, 2);
        self.varint(value.len() as u64);
        self.0.extend(value);
    }

    pub(super) fn text(&mut self, number: u32, value: &str) {
        self.bytes(number, value.as_bytes());
    }

    pub(super) fn message(&mut self, number: u32, value: &Self) {
        self.bytes(number, &value.0);
    }

    pub(super) fn packed_doubles(&mut self, number: u32, values: &[f64]) {
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.bytes(number, &bytes);
    }

    fn key(&mut self, number: u32, wire_type: u32) {
        self.varint(u64::from(number << 3 | wire_type));
    }

    /// Seven bits a byte, the lowest first; the top bit says that more follow.
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A decoded field.
    #[derive(Debug, PartialEq)]
    pub(in super::super) enum Field {
        Varint(u64),
        Fixed64(u64),
        Bytes(Vec<u8>),
        Fixed32(u32),
    }

    fn take_varint(rest: &mut &[u8]) -> u64 {
        let length = 1 + rest.iter().position(|byte| byte & 0x80 == 0).unwrap();
        let (bytes, tail) = rest.split_at(length);
        *rest = tail;
        let bits = bytes.iter().rev();
        bits.fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f))
    }

    fn take<'a>(rest: &mut &'a [u8], length: usize) -> &'a [u8] {
        let (bytes, tail) = rest.split_at(length);
        *rest = tail;
        bytes
    }

    /// Decodes a message into its numbered fields.
    pub(in super::super) fn fields(mut rest: &[u8]) -> Vec<(u32, Field)> {
        let mut fields = Vec::new();
        while !rest.is_empty() {
            let key = take_varint(&mut rest);
            let field = match key & 7 {
                0 => Field::Varint(take_varint(&mut rest)),
                1 => Field::Fixed64(u64::from_le_bytes(take(&mut rest, 8).try_into().unwrap())),
                2 => {
                    let length = take_varint(&mut rest) as usize;
                    Field::Bytes(take(&mut rest, length).to_vec())
                }
                5 => Field::Fixed32(u32::from_le_bytes(take(&mut rest, 4).try_into().unwrap())),
                other => panic!("wire type {other}"),
            };
            fields.push(((key >> 3) as u32, field));
        }
        fields
    }

    #[test]
    fn integers_are_encoded_as_the_documentation_shows() {
        // "Encoding": field 1 = 150 is 08 96 01.
        let mut message = Message::default();
        message.integer(1, 150);
        assert_eq!(message.as_bytes(), [0x08, 0x96, 0x01]);
    }

    #[test]
    fn every_wire_type_decodes_to_what_was_encoded() {
        let mut message = Message::default();
        message.integer(1, u64::MAX);
        message.double(20, 0.5);
        message.float(3, -2.0);
        message.text(4, "tag");
        let expected = [
            (1, Field::Varint(u64::MAX)),
            (20, Field::Fixed64(0.5f64.to_bits())),
            (3, Field::Fixed32((-2.0f32).to_bits())),
            (4, Field::Bytes(b"tag".to_vec())),
        ];
        assert_eq!(fields(message.as_bytes()), expected);
    }
}
