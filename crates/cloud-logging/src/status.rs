//! The HTTP status of each gRPC code: one table for decoding entries and for querying them.

/// The code of `google.rpc.Code` and the HTTP status that Google's APIs map it to.
/// <https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto>
const CODES: [(i64, i64); 17] = [
    (0, 200),  // OK
    (1, 499),  // CANCELLED
    (2, 500),  // UNKNOWN
    (3, 400),  // INVALID_ARGUMENT
    (4, 504),  // DEADLINE_EXCEEDED
    (5, 404),  // NOT_FOUND
    (6, 409),  // ALREADY_EXISTS
    (7, 403),  // PERMISSION_DENIED
    (8, 429),  // RESOURCE_EXHAUSTED
    (9, 400),  // FAILED_PRECONDITION
    (10, 409), // ABORTED
    (11, 400), // OUT_OF_RANGE
    (12, 501), // UNIMPLEMENTED
    (13, 500), // INTERNAL
    (14, 503), // UNAVAILABLE
    (15, 500), // DATA_LOSS
    (16, 401), // UNAUTHENTICATED
];

/// Returns the HTTP status of a gRPC code, or `None` where there is no such code.
pub(crate) fn http_of(grpc: i64) -> Option<i64> {
    CODES.iter().find(|(code, _)| *code == grpc).map(|(_, http)| *http)
}

/// Returns the gRPC codes of an HTTP status; most have none.
pub(crate) fn grpc_of(http: i64) -> impl Iterator<Item = i64> {
    CODES.iter().filter(move |(_, status)| *status == http).map(|(code, _)| *code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_are_one_table() {
        assert_eq!([7, 16, 5, 0].map(http_of), [Some(403), Some(401), Some(404), Some(200)]);
        assert_eq!([-1, 17, 403].map(http_of), [None; 3]);
        assert_eq!(grpc_of(400).collect::<Vec<_>>(), [3, 9, 11]);
        assert_eq!(grpc_of(422).count(), 0);
        for (grpc, http) in CODES {
            assert!(http_of(grpc) == Some(http) && grpc_of(http).any(|code| code == grpc));
        }
    }
}
