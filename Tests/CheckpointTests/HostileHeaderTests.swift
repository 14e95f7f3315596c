import Checkpoint
import FoundationEssentials
import TestSupport
import Testing

@Suite("Hostile safetensors headers")
struct HostileHeaderTests {
    private func file(_ json: String, length: UInt64? = nil, data: Int) -> [UInt8] {
        let length = length ?? UInt64(json.utf8.count)
        return (0..<8).map { UInt8(truncatingIfNeeded: length >> ($0 * 8)) } + Array(json.utf8)
            + [UInt8](repeating: 7, count: data)
    }

    private func open(_ bytes: [UInt8]) throws {
        let directory = try TemporaryDirectory()
        let path = "\(directory.path)/hostile.safetensors"
        try Data(bytes).write(to: URL(filePath: path))
        _ = try SafetensorsFile(path: path)
    }

    /// `S:` and `O:` stand for a float's shape and its data's range.
    private func json(_ template: String) -> String {
        template.replacing("S:", with: "\"dtype\":\"F32\",\"shape\":").replacing("O:", with: "\"data_offsets\":")
    }

    @Test(arguments: [
        ("{}", 0), ("{\"a\":{S:[2],O:[0,8]}}   ", 8),
        ("{\"a\":{S:[0],O:[4,4]},\"__metadata__\":{\"x\":\"y\"},\"b\":{S:[],O:[0,4]}}", 4),
        ("{\"b\":{S:[1,1],O:[4,8],\"later\":{\"x\":[1]}},\"a\":{S:[1],O:[0,4]}}", 8),
    ])
    func soundOnesOpen(template: String, data: Int) throws {
        try open(file(json(template), data: data))
    }

    @Test(arguments: [
        // The data: outside, overlapping, with holes, too many, backwards, not numbers.
        ("{\"a\":{S:[2],O:[0,8]}}", 4), ("{\"a\":{S:[2],O:[0,8]}}", 12), ("{\"a\":{S:[2],O:[4,12]}}", 12),
        ("{\"a\":{S:[2],O:[0,8]},\"b\":{S:[2],O:[4,12]}}", 12), ("{\"a\":{S:[2],O:[0,8]},\"b\":{S:[2],O:[0,8]}}", 8),
        ("{\"a\":{S:[1],O:[0,4]},\"b\":{S:[1],O:[8,12]}}", 12), ("{\"a\":{S:[2],O:[8,0]}}", 8),
        ("{\"a\":{S:[2],O:[0,9223372036854775807]}}", 8),
        ("{\"a\":{S:[2],O:[9223372036854775799,9223372036854775807]}}", 8),
        ("{\"a\":{S:[2],O:[0,18446744073709551615]}}", 8), ("{\"a\":{S:[2],O:[-8,0]}}", 8),
        ("{\"a\":{S:[2],O:[0.5,8]}}", 8), ("{\"a\":{S:[2],O:[0,8,9]}}", 8), ("{\"a\":{S:[2],O:[0]}}", 8),
        ("{\"a\":{S:[2],O:8}}", 8),
        // The shape: other than the data, overflowing, negative, of too many extents.
        ("{\"a\":{S:[3],O:[0,8]}}", 8), ("{\"a\":{S:[2,2],O:[0,8]}}", 8),
        ("{\"a\":{S:[4611686018427387904],O:[0,0]}}", 0),
        ("{\"a\":{S:[4294967296,4294967296],O:[0,0]}}", 0), ("{\"a\":{S:[9223372036854775807,2],O:[0,8]}}", 8),
        ("{\"a\":{S:[-2],O:[0,8]}}", 8), ("{\"a\":{S:[1e3],O:[0,8]}}", 8),
        ("{\"a\":{S:[1,1,1,1,1,1,1,1,2],O:[0,8]}}", 8),
        ("{\"a\":{S:[\"2\"],O:[0,8]}}", 8), ("{\"a\":{S:2,O:[0,8]}}", 8),
        // The description: twice, incomplete, of unknown types.
        ("{\"a\":{S:[2],O:[0,8]},\"a\":{S:[2],O:[0,8]}}", 8), ("{\"a\":{S:[2]}}", 8), ("{\"a\":{O:[0,8]}}", 8),
        ("{\"a\":{\"dtype\":\"F31\",\"shape\":[2],O:[0,8]}}", 8), ("{\"a\":{\"dtype\":4,\"shape\":[2],O:[0,8]}}", 8),
        ("{\"a\":{\"dtype\":\"F32\",S:[2],O:[0,8]}}", 8), ("{\"a\":[]}", 0), ("{\"a\":null}", 0),
        ("{\"a\":{S:[2],O:[0,8],\"more\":{\"x\":1,\"x\":2}}}", 8),
        ("{\"__metadata__\":{\"x\":1}}", 0), ("{\"__metadata__\":[]}", 0),
        // The text: cut, followed by more, not an object, not a string.
        ("{\"a\":{S:[2],O:[0,8]}", 8), ("{\"a\":{S:[2],O:[0,8]}}}", 8), ("{\"a\":{S:[2],O:[0,8]},}", 8), ("[]", 0),
        (" {}", 0), ("{\"\\ud800\":{}}", 0), ("{\"a", 0), ("", 0), ("{", 0),
    ])
    func contradictionsAreErrors(template: String, data: Int) throws {
        let error = #expect(throws: CheckpointError.self) { try open(file(json(template), data: data)) }
        #expect(error?.path?.hasSuffix("hostile.safetensors") == true && error?.offset != nil)
    }

    @Test(arguments: [0, 1, 7, 9, 1 << 20, 100_000_001, 1 << 40, UInt64(Int.max), UInt64.max - 7, .max])
    func lengthsThatCannotBeRightAreErrors(length: UInt64) throws {
        let error = #expect(throws: CheckpointError.self) { try open(file("{} ", length: length, data: 4)) }
        #expect(error != nil)
    }

    @Test(arguments: 0..<8)
    func filesShorterThanTheirLengthAreErrors(count: Int) throws {
        let error = #expect(throws: CheckpointError.self) { try open(Array(file("{}", data: 0).prefix(count))) }
        #expect(error?.code == .malformedHeader)
    }

    @Test(arguments: ["[", "{\"a\":", "{\"__metadata__\":{\"a\":", "{\"a\":{\"x\":["])
    func nestingWithoutEndIsAnError(opening: String) throws {
        let error = #expect(throws: CheckpointError.self) {
            try open(file("{\"t\":{\"x\":" + String(repeating: opening, count: 200_000), data: 0))
        }
        #expect(error?.code == .malformedJSON)
    }

    @Test func aFolderIsNotAFile() throws {
        let error = #expect(throws: CheckpointError.self) { try SafetensorsFile(path: "/tmp") }
        #expect(error?.code == .inputOutput)
    }
}
