//! Streams in any chunks give the same pieces; lengths are believed only within their bounds.

use alloc::vec;
use alloc::vec::Vec;

use proptest::collection::vec as list;
use proptest::prelude::*;

use super::*;
use crate::ids::{ServerId, Zxid};
use crate::wire::jute::JuteError;
use crate::wire::quorum::{LeaderPacket, LearnerPacket, PacketError};
use crate::wire::vote::InitialMessage;

const MAX: usize = 1 << 20;

fn framed(payloads: &[Vec<u8>]) -> Bytes {
    let mut out = BytesMut::new();
    for payload in payloads {
        put_frame(&mut out, |out| out.put_slice(payload));
    }
    out.freeze()
}

/// Cuts `bytes` into chunks whose sizes repeat `sizes`.
fn chunked(bytes: &Bytes, sizes: &[usize]) -> Vec<Bytes> {
    let mut rest = bytes.clone();
    let mut sizes = sizes.iter().copied().cycle();
    let mut chunks = Vec::new();
    while !rest.is_empty() {
        let size = sizes.next().unwrap_or(1).min(rest.len());
        chunks.push(rest.split_to(size));
    }
    chunks
}

#[test]
fn a_frame_within_a_chunk_is_a_slice_of_it() {
    let chunk = framed(&[b"one".to_vec(), vec![], b"three".to_vec()]);
    let mut buffer = FrameBuffer::new();
    buffer.push(chunk.clone());
    let frame = buffer.next_frame(MAX).unwrap().unwrap();
    assert_eq!(frame, "one");
    assert_eq!(frame.as_ptr(), chunk[4..].as_ptr());
    assert_eq!(buffer.next_frame(MAX), Ok(Some(Bytes::new())));
    assert_eq!(buffer.next_frame(MAX), Ok(Some(Bytes::from("three"))));
    assert_eq!((buffer.next_frame(MAX), buffer.buffered()), (Ok(None), 0));
}

#[test]
fn a_length_out_of_bounds_is_an_error_before_its_bytes_come() {
    for (len, limit, good) in [
        (0, 0, true),
        (10, 10, true),
        (11, 10, false),
        (-1, 10, false),
        (i32::MAX, 10, false),
        (i32::MIN, 10, false),
    ] {
        let mut buffer = FrameBuffer::new();
        buffer.push(Bytes::copy_from_slice(&i32::to_be_bytes(len)));
        let found = buffer.next_frame(limit);
        assert_eq!(found.is_ok(), good, "{len}");
        if !good {
            assert_eq!(found, Err(FrameError { len, limit }));
        }
    }
}

#[test]
fn a_word_shows_once_four_bytes_are_there() {
    let mut buffer = FrameBuffer::new();
    for (chunk, word) in [("r", None), ("u", None), ("ok", Some(*b"ruok")), ("\n", Some(*b"ruok"))]
    {
        buffer.push(Bytes::from_static(chunk.as_bytes()));
        assert_eq!(buffer.peek_word(), word);
    }
    assert_eq!(buffer.buffered(), 5);
}

/// Quadratic work would make these two run for hours.
#[test]
fn a_large_frame_byte_by_byte_is_linear() {
    let stream = framed(&[vec![7; MAX]]);
    let mut buffer = FrameBuffer::new();
    let mut found = None;
    for chunk in chunked(&stream, &[1]) {
        assert_eq!(found, None);
        buffer.push(chunk);
        found = buffer.next_frame(MAX).unwrap();
    }
    assert_eq!(found.unwrap(), stream[4..]);
}

#[test]
fn a_packet_of_many_ids_byte_by_byte_is_linear() {
    let mut stream = BytesMut::new();
    stream.put_i32(3);
    stream.put_i64(1);
    stream.put_i32(MAX as i32);
    stream.put_bytes(0, MAX);
    let ids = 40_000;
    stream.put_i32(ids);
    stream.put_bytes(0, 8 * ids as usize);
    let stream = stream.freeze();
    let mut buffer = PacketBuffer::new();
    let mut found = None;
    for chunk in chunked(&stream, &[1]) {
        assert_eq!(found, None);
        buffer.push(chunk);
        found = buffer.next_learner_packet(MAX).unwrap();
    }
    assert_eq!(found, Some(LearnerPacket::Ack { zxid: Zxid(1) }));
}

#[test]
fn the_lengths_of_a_packet_are_bounded() {
    let head = |len: i32| {
        let mut out = BytesMut::new();
        out.put_i32(3);
        out.put_i64(1);
        out.put_i32(len);
        out
    };
    let fails = |bytes: BytesMut, len: i32, limit: usize| {
        let mut buffer = PacketBuffer::new();
        buffer.push(bytes.freeze());
        let error = PacketError::TooLong(FrameError { len, limit });
        assert_eq!(buffer.next_learner_packet(100), Err(error));
    };
    for len in [101, -2, i32::MAX] {
        fails(head(len), len, 100);
    }
    for count in [13, -2, i32::MAX] {
        let mut bytes = head(-1);
        bytes.put_i32(count);
        fails(bytes, count, 12);
    }
    let mut bytes = head(-1);
    bytes.put_i32(1);
    bytes.put_i32(96);
    bytes.put_bytes(b'x', 96);
    bytes.put_i32(1);
    fails(bytes, 1, 0);
}

#[test]
fn a_snapshot_stream_is_taken_raw_and_its_tail_given_back() {
    let mut stream = BytesMut::new();
    LeaderPacket::Snap { zxid: Zxid(9), fuzzy: false }.encode(&mut stream);
    stream.put_slice(b"snapshot");
    let next = stream.len();
    LeaderPacket::UpToDate.encode(&mut stream);
    for sizes in [vec![1], vec![7], vec![1000], vec![30, 2]] {
        let mut buffer = PacketBuffer::new();
        let mut chunks = chunked(&stream.clone().freeze(), &sizes).into_iter();
        let mut snap = None;
        while snap.is_none() {
            buffer.push(chunks.next().unwrap());
            snap = buffer.next_leader_packet(MAX).unwrap();
        }
        chunks.for_each(|chunk| buffer.push(chunk));
        let mut rest = buffer.take_rest();
        assert_eq!((&rest[..], buffer.buffered()), (&stream[next - 8..], 0));
        let tail = rest.split_off(8);
        buffer.push(Bytes::from_static(b"later"));
        buffer.unread(tail);
        assert_eq!(buffer.next_leader_packet(MAX), Ok(Some(LeaderPacket::UpToDate)));
        assert_eq!(buffer.take_rest(), "later");
    }
}

#[test]
fn bytes_given_back_stand_in_front_of_a_half_read_packet() {
    let mut stream = BytesMut::new();
    LeaderPacket::Sync.encode(&mut stream);
    let mut packet = stream.freeze();
    let front = packet.split_to(3);
    let mut buffer = PacketBuffer::new();
    for chunk in chunked(&packet, &[2]) {
        buffer.push(chunk);
    }
    assert_eq!(buffer.next_leader_packet(0), Ok(None), "its head is gathered across chunks");
    buffer.unread(front);
    assert_eq!(buffer.next_leader_packet(0), Ok(Some(LeaderPacket::Sync)));
}

#[test]
fn an_address_length_is_bounded() {
    for len in [0, -1, 2049, i32::MAX] {
        let mut bytes = BytesMut::new();
        bytes.put_i64(-65_536);
        bytes.put_i64(1);
        bytes.put_i32(len);
        let mut buffer = VoteBuffer::new();
        buffer.push(bytes.freeze());
        assert_eq!(buffer.next_initial(), Err(JuteError::BadLength(len)));
    }
    for len in [0, -1, 524_289] {
        let mut buffer = VoteBuffer::new();
        buffer.push(Bytes::copy_from_slice(&i32::to_be_bytes(len)));
        assert!(buffer.next_message().is_err());
    }
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same_frames(
        payloads in list(list(any::<u8>(), 0..3000), 0..6), sizes in list(1..1500_usize, 1..6),
    ) {
        let mut buffer = FrameBuffer::new();
        let mut found = Vec::new();
        for chunk in chunked(&framed(&payloads), &sizes) {
            buffer.push(chunk);
            while let Some(frame) = buffer.next_frame(MAX).unwrap() {
                found.push(frame.to_vec());
            }
        }
        prop_assert_eq!(found, payloads);
        prop_assert_eq!(buffer.buffered(), 0);
    }

    #[test]
    fn any_chunking_gives_the_same_packets(
        packets in list(crate::wire::quorum::tests::learner(), 0..8), sizes in list(1..40_usize, 1..6),
        eager: bool,
    ) {
        let mut stream = BytesMut::new();
        packets.iter().for_each(|packet| packet.encode(&mut stream));
        let mut buffer = PacketBuffer::new();
        let mut found = Vec::new();
        for chunk in chunked(&stream.freeze(), &sizes) {
            buffer.push(chunk);
            while eager && let Some(packet) = buffer.next_learner_packet(MAX).unwrap() {
                found.push(packet);
            }
        }
        while let Some(packet) = buffer.next_learner_packet(MAX).unwrap() {
            found.push(packet);
        }
        prop_assert_eq!(found, packets);
    }

    #[test]
    fn any_chunking_gives_the_same_messages(
        port: u16, messages in list(list(any::<u8>(), 1..100), 0..4), sizes in list(1..40_usize, 1..4),
    ) {
        let initial = InitialMessage { from: ServerId(7), address: alloc::format!("h:{port}") };
        let mut stream = BytesMut::new();
        initial.encode(&mut stream);
        stream.extend_from_slice(&framed(&messages));
        let mut buffer = VoteBuffer::new();
        let (mut first, mut found) = (None, Vec::new());
        for chunk in chunked(&stream.freeze(), &sizes) {
            buffer.push(chunk);
            if first.is_none() {
                first = buffer.next_initial().unwrap();
            }
            while first.is_some() && let Some(message) = buffer.next_message().unwrap() {
                found.push(message.to_vec());
            }
        }
        prop_assert_eq!(first, Some(initial));
        prop_assert_eq!(found, messages);
    }

    #[test]
    fn arbitrary_bytes_never_panic(chunks in list(list(any::<u8>(), 0..40), 0..6), quiet: bool) {
        let (mut frames, mut packets, mut votes) =
            (FrameBuffer::new(), PacketBuffer::new(), VoteBuffer::new());
        for mut chunk in chunks {
            // Zeros make lengths that pass and packets that go on.
            if quiet {
                chunk.iter_mut().for_each(|byte| *byte &= (*byte > 250) as u8 * 31);
            }
            frames.push(chunk.clone().into());
            packets.push(chunk.clone().into());
            votes.push(chunk.into());
            let _ = frames.next_frame(64);
            let _ = packets.next_leader_packet(64);
            let _ = packets.next_learner_packet(64);
            let _ = votes.next_initial();
            let _ = votes.next_message();
        }
    }
}
