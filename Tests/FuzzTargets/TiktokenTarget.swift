import Checkpoint
import Foundation
import JSON
import TestSupport

/// Every vocabulary that is read must have merges that make its tokens of others.
struct TiktokenTarget: FuzzTarget {
    let samples: [[UInt8]] = [["th", "he", "the"], ["\n", "aa", "aaa", "aaaa"]].map { words in
        let tokens = (UInt8.min ... .max).map { [$0] } + words.map { Array($0.utf8) }
        let lines = tokens.enumerated().map { "\(Data($1).base64EncodedString()) \($0)" }
        return Array(lines.joined(separator: "\n").utf8)
    }
    let words = ["dGhl", "YWE=", "YWFhYQ==", " 258\n", "\nAA== 0\n", "=", "\r", " 0", " -1"]

    /// Mostly behind the bytes, which are alike and must all be there.
    func mutate(_ sample: [UInt8], _ mutator: inout Mutator) -> [UInt8] {
        guard mutator.chance(7, in: 8), let end = sample.firstRange(of: "/w== 255\n".utf8)?.upperBound else {
            return mutator.mutate(sample)
        }
        return sample[..<end] + mutator.mutate(Array(sample[end...]))
    }

    func feed(_ bytes: [UInt8]) throws -> Bool {
        let names: JSONValue = ["added_tokens_decoder": .object([])]
        guard
            let model = try? TiktokenModel(bytes, path: "fuzzed"),
            let vocabulary = try? model.vocabulary(config: names, configPath: "fuzzed", vocabularySize: 1024).vocabulary
        else { return false }
        let tokens = Set(vocabulary.tokens)
        for merge in vocabulary.merges {
            let parts = merge.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 2, (parts + [parts.joined()]).allSatisfy(tokens.contains) else {
                throw FuzzFailure("the merge '\(merge)' can't be")
            }
        }
        return true
    }
}
