package import Container

/// How often a model's experts were used in earlier runs, so that a new one can begin with the hottest in memory.
///
/// The file, little-endian:
///
///     0   8  "moedheat"
///     8   4  version, 1
///     12  4  number of experts
///     16  8  identity of the container: its index's checksum
///     24  4n popularity of each expert, Float32, layer after layer
///     …   8  XXH3-64 of everything before
package struct PopularityFile: Sendable, Equatable {
    package var identity: UInt64
    /// [experts], finite and not negative.
    package var popularity: [Float]

    package init(identity: UInt64, popularity: [Float]) {
        self.identity = identity
        self.popularity = popularity
    }

    /// The place of a container's file among those that a directory holds.
    package static func path(in directory: String, identity: UInt64) -> String {
        "\(directory)/\(hexadecimal(identity)).heat"
    }

    /// Each expert's part of its layer's uses, so that no layer counts for more than another; 0 where there are none.
    /// [experts]
    ///
    /// - Parameter unseen: uses that each expert is given beside those that were recorded: after few tokens, an expert that
    ///   wasn't used yet is no expert that is never used.
    package func rates(expertsPerLayer: Int, unseen: Double = 0) -> [Double] {
        var rates: [Double] = []
        rates.reserveCapacity(popularity.count)
        for first in stride(from: 0, to: popularity.count, by: max(expertsPerLayer, 1)) {
            let its = popularity[first..<min(first + expertsPerLayer, popularity.count)]
            let sum = its.reduce(0.0) { $0 + Double($1) + unseen }
            rates += its.map { sum > 0 ? (Double($0) + unseen) / sum : 0 }
        }
        return rates
    }

    private static let magic = Array("moedheat".utf8)
    private static let version: UInt32 = 1
    private static let headerByteCount = 24
    static let mostExperts = 1 << 20

    /// What a directory holds for a container; nil if it has nothing of it.
    package static func read(of container: ContainerReader, in directory: String) throws(PagingError) -> PopularityFile?
    {
        try read(
            path: path(in: directory, identity: container.indexChecksum), identity: container.indexChecksum,
            expertCount: container.experts.count)
    }

    /// What is in `path`, for a container of this identity and number of experts; nil if there is no such file.
    package static func read(path: String, identity: UInt64, expertCount: Int) throws(PagingError) -> PopularityFile? {
        let bytes: [UInt8]
        do {
            bytes = try SmallFile.read(path, limit: headerByteCount + 4 * mostExperts + 8)
        } catch {
            if error.isMissing { return nil }
            throw PagingError(.badPopularity, "what earlier runs learnt of the experts: \(error)")
        }
        func refuse(_ problem: String) -> PagingError {
            PagingError(
                .badPopularity,
                "\(path), what earlier runs learnt of the experts, \(problem); it is left aside and replaced")
        }
        guard bytes.count >= headerByteCount + 8, bytes.starts(with: magic) else {
            throw refuse("isn't such a file")
        }
        let version = UInt32(truncatingIfNeeded: number(in: bytes, at: 8, byteCount: 4))
        guard version == Self.version else {
            throw refuse("is of version \(version), and \(Self.version) is expected")
        }
        guard number(in: bytes, at: bytes.count - 8, byteCount: 8) == checksum(of: bytes.dropLast(8)) else {
            throw refuse("is damaged: its checksum doesn't fit")
        }
        let count = Int(number(in: bytes, at: 12, byteCount: 4))
        guard bytes.count == headerByteCount + 4 * count + 8, count == expertCount,
            number(in: bytes, at: 16, byteCount: 8) == identity
        else {
            throw refuse("belongs to another model")
        }
        let popularity = (0..<count).map {
            Float(bitPattern: UInt32(truncatingIfNeeded: number(in: bytes, at: headerByteCount + 4 * $0, byteCount: 4)))
        }
        guard popularity.allSatisfy({ $0.isFinite && $0 >= 0 }) else { throw refuse("holds impossible numbers") }
        return PopularityFile(identity: identity, popularity: popularity)
    }

    /// Replaces the file: it has its old or its new contents whatever happens.
    package func write(path: String) throws(PagingError) {
        var bytes = Self.magic
        func append(_ value: UInt64, byteCount: Int) {
            for byte in 0..<byteCount { bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * byte))) }
        }
        append(UInt64(Self.version), byteCount: 4)
        append(UInt64(popularity.count), byteCount: 4)
        append(identity, byteCount: 8)
        for value in popularity { append(UInt64(value.bitPattern), byteCount: 4) }
        append(Self.checksum(of: bytes[...]), byteCount: 8)
        do {
            try SmallFile.replace(path, with: bytes)
        } catch {
            throw PagingError(.badPopularity, "what is known of the experts can't be kept: \(error)")
        }
    }

    private static func number(in bytes: [UInt8], at offset: Int, byteCount: Int) -> UInt64 {
        (0..<byteCount).reduce(0) { $0 | UInt64(bytes[offset + $1]) << UInt64(8 * $1) }
    }

    private static func checksum(of bytes: ArraySlice<UInt8>) -> UInt64 {
        unsafe bytes.withUnsafeBytes { unsafe XXH3.hash($0) }
    }
}
