import API
import ChatTemplate
import Container
import ExpertPaging
package import Generation
import Model
import Tokenizer

/// The one model that the daemon serves: its engine, and what turns requests into tokens.
package struct ServedModel: Sendable {
    /// The file's stem.
    package let id: String
    package let engine: Engine
    let container: ContainerReader
    let tokenizer: Tokenizer
    /// Without one, only plain completions can be had.
    let template: Result<ChatTemplate, ChatTemplateError>
    let syntax: AnswerSyntax
    /// The ids of `<think>` and `</think>`.
    let reasoningBeginToken: Int32?
    let reasoningEndToken: Int32?
    /// What its makers recommend where a request says nothing.
    let defaults: GenerationDefaults
    /// The lossy help of requests that say nothing of it.
    let lossy: LossyRouting
    /// The model's facts that don't change while it is served.
    let facts: Status.Model
    let memory: Status.Memory
    /// Seconds since 1970: when the file was last changed.
    let created: Int
    /// The plan, one line a part, and what the person should know of it.
    package let planLines: [String]
    package let warnings: [String]
    /// The file that keeps what is learnt of the experts' use.
    let popularityPath: String?
    /// The weights' memory when it outlives the process.
    let kept: KeptWeights?

    package var contextLength: Int { facts.contextLength }

    /// Whether it makes one text of another, and so continues none and holds no conversation.
    var isEncoderDecoder: Bool { container.metadata.configuration.encoder != nil }
    /// What an encoder's input ends with, for it is a whole text; nil for a decoder alone.
    var inputEndToken: Int32? {
        isEncoderDecoder ? container.metadata.configuration.endTokens.first.map(Int32.init(truncatingIfNeeded:)) : nil
    }
    /// Whether experts take only so many tokens of a sequence.
    var hasExpertCapacity: Bool { container.metadata.configuration.experts?.router.capacity != nil }

    /// `demo` for `/var/lib/moed/demo.moe`.
    package static func identifier(path: String) -> String {
        let name = path.split(separator: "/").last.map(String.init) ?? path
        return name.hasSuffix(".moe") && name != ".moe" ? String(name.dropLast(4)) : name
    }
}
