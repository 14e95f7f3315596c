internal import CXXHash

/// XXH3 with 64 bits: `XXH3_64bits` of libxxhash, seed 0.
package enum XXH3 {
    package static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        unsafe XXH3_64bits(bytes.baseAddress, bytes.count)
    }

    package static func hash(_ bytes: [UInt8]) -> UInt64 {
        unsafe bytes.withUnsafeBytes { unsafe hash($0) }
    }

    /// The same hash of bytes that come in pieces.
    @safe
    package struct Stream: ~Copyable {
        private let state: OpaquePointer

        /// nil when there is no memory for the state, half a kilobyte.
        package init?() {
            guard let state = unsafe XXH3_createState() else { return nil }
            unsafe self.state = state
            _ = unsafe XXH3_64bits_reset(state)
        }

        deinit { _ = unsafe XXH3_freeState(state) }

        package mutating func update(_ bytes: UnsafeRawBufferPointer) {
            _ = unsafe XXH3_64bits_update(state, bytes.baseAddress, bytes.count)
        }

        package func finalize() -> UInt64 { unsafe XXH3_64bits_digest(state) }
    }
}
