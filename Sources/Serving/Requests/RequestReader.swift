import API
import FoundationEssentials
import Hummingbird
import NIOCore

/// Takes a request's body apart: its size, its JSON, its fields' values, and only then its type.
struct RequestReader {
    let limits: ServerLimits

    func read<Body: Decodable>(_ type: Body.Type, from request: Request, fields: FieldTable) async throws -> Body {
        let bytes = try await collect(request)
        let value: JSONValue
        do {
            value = try JSONParser.parse(bytes, maximumDepth: limits.jsonDepth)
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
            return try JSONDecoder().decode(Body.self, from: Data(bytes))
        } catch let error as DecodingError {
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
