import API
import FoundationEssentials
import Hummingbird
import JSON
import NIOCore
import NIOPosix

/// Takes a request's body apart: its size, its JSON, its fields' values, and only then its type.
struct RequestReader: Sendable {
    let limits: ServerLimits

    /// Reads a body and makes of it what `prepare` makes, which also gets the JSON itself.
    ///
    /// A large body takes seconds to parse and to tokenise, and all connections share the few threads of the
    /// cooperative pool: both happen elsewhere.
    func read<Body: Decodable & Sendable, Result: Sendable>(
        _ type: Body.Type, from request: Request, fields: FieldTable,
        _ prepare: @escaping @Sendable (Body, JSONValue) throws -> Result
    ) async throws -> Result {
        let bytes = try await collect(request)
        return try await NIOThreadPool.singleton.runIfActive {
            let (body, value) = try parse(type, bytes, fields: fields)
            return try prepare(body, value)
        }
    }

    private func parse<Body: Decodable>(
        _ type: Body.Type, _ bytes: [UInt8], fields: FieldTable
    ) throws(APIError) -> (Body, JSONValue) {
        let value: JSONValue
        do {
            value = try JSONValue(
                parsing: bytes,
                limits: JSONLimits(
                    byteCount: limits.bodyByteCount, depth: limits.jsonDepth, valueCount: limits.jsonValueCount))
        } catch {
            throw APIError.malformed("the body isn't JSON: \(error)")
        }
        do {
            try fields.check(value)
        } catch {
            throw error.isUnsupported
                ? APIError.unsupported(error.path ?? "", error.message)
                : APIError.invalid(error.path, error.path.map { "\($0): \(error.message)" } ?? error.message)
        }
        do {
            return (try JSONDecoder().decode(Body.self, from: Data(bytes)), value)
        } catch {
            throw APIError.malformed("the body doesn't fit: \(error)")
        }
    }

    private func collect(_ request: Request) async throws -> [UInt8] {
        if let length = request.headers[.contentLength].flatMap(Int.init), length > limits.bodyByteCount {
            throw APIError.bodyTooLarge(limit: limits.bodyByteCount)
        }
        var bytes: [UInt8] = []
        for try await buffer in request.body {
            guard bytes.count + buffer.readableBytes <= limits.bodyByteCount else {
                throw APIError.bodyTooLarge(limit: limits.bodyByteCount)
            }
            bytes += buffer.readableBytesView
        }
        return bytes
    }
}
