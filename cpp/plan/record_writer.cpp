#include "plan/record_writer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "codecs/encode.h"
#include "plan/tensor_tools.h"

namespace pyrec {

namespace {

// Results of a tile that stay in the cache until they are copied, beside what they are made from.
constexpr std::size_t kTileBytes = std::size_t{1} << 17;
// So many rows that the weights, which each tile reads, take little for each of them.
constexpr std::size_t kLeastTile = 64;

// An output with its axis of rows first.
Tensor rows_first(const Tensor& tensor, int axis) {
  Shape shape, strides;
  shape.push_back(tensor.shape[axis]);
  strides.push_back(tensor.strides[axis]);
  for (int other = 0; other < tensor.rank(); ++other) {
    if (other == axis) continue;
    shape.push_back(tensor.shape[other]);
    strides.push_back(tensor.strides[other]);
  }
  return view(tensor, shape, strides);
}

}  // namespace

RecordWriter::RecordWriter(std::shared_ptr<const Executor> executor,
                           std::shared_ptr<ThreadPool> pool, std::vector<RecordField> fields,
                           std::size_t stride)
    : executor_(std::move(executor)),
      pool_(std::move(pool)),
      fields_(std::move(fields)),
      stride_(stride) {
  bool fits = fields_.size() == executor_->output_count();
  std::vector<bool> used(stride);
  for (const RecordField& field : fields_) {
    const std::size_t end = field.offset + field.size();
    fits = fits && end <= stride && (!field.codec || field.dtype == DType::kFloat32);
    for (std::size_t i = field.offset; fits && i < end; ++i) {
      fits = !used[i];
      used[i] = true;
    }
  }
  if (!fits) throw OpError(ErrorKind::kModel, "fields that do not fit their records");
  for (std::size_t begin = 0; begin < stride;) {
    std::size_t end = begin;
    while (end < stride && !used[end]) ++end;
    if (end > begin) gaps_.emplace_back(begin, end - begin);
    begin = end + 1;
  }
}

void RecordWriter::write(std::span<const Tensor> inputs, ItemStore::Batch& batch) const {
  const std::size_t cached =
      std::max(kTileBytes / std::max<std::size_t>(stride_, 1) / 8 * 8, kLeastTile);
  const auto tile =
      std::min(cached, static_cast<std::size_t>(std::max<std::int64_t>(executor_->tile_rows(), 1)));
  const std::size_t rows = batch.size();
  pool_->run((rows + tile - 1) / tile, [&](std::size_t number, std::size_t) {
    const std::size_t begin = number * tile;
    write_tile(inputs, begin, std::min(tile, rows - begin), batch);
  });
}

// For each field its place in the records, for what makes its values to write them there.
std::vector<Tensor> RecordWriter::places(std::size_t begin, std::size_t count,
                                         ItemStore::Batch& batch) const {
  std::vector<Tensor> found(fields_.size());
  const std::span<const ItemStore::Row> rows = batch.rows().subspan(begin, count);
  bool together = true;
  for (std::size_t i = 1; i < count; ++i) together = together && rows[i] == rows[i - 1] + 1;
  for (std::size_t number = 0; together && number < fields_.size(); ++number) {
    const RecordField& field = fields_[number];
    const std::size_t item = item_size(field.dtype);
    if (!field.is_plain() || field.axis != 0 || field.offset % item != 0 || stride_ % item != 0) {
      continue;
    }
    Tensor& place = found[number];
    place.data = batch.record(begin) + field.offset;
    place.dtype = field.dtype;
    place.shape = {static_cast<std::int64_t>(count), static_cast<std::int64_t>(field.elements)};
    place.strides = {static_cast<std::int64_t>(stride_ / item), 1};
  }
  return found;
}

void RecordWriter::write_tile(std::span<const Tensor> inputs, std::size_t begin, std::size_t count,
                              ItemStore::Batch& batch) const {
  Executor::Session session(*executor_);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Tensor& whole = inputs[i];
    const int axis = executor_->inputs()[i].row_axis;
    Shape shape = whole.shape;
    shape[axis] = static_cast<std::int64_t>(count);
    session.input(i) = {whole.data + static_cast<std::int64_t>(begin) * whole.strides[axis] *
                                         static_cast<std::int64_t>(item_size(whole.dtype)),
                        whole.dtype, shape, whole.strides, BufferRef()};
  }
  const std::vector<Tensor> offers = places(begin, count, batch);
  std::vector<std::int64_t> rows;
  if (std::ranges::any_of(offers, [](const Tensor& offer) { return offer.data == nullptr; })) {
    const std::span<const ItemStore::Row> own = batch.rows().subspan(begin, count);
    rows.assign(own.begin(), own.end());
    session.announce(
        {reinterpret_cast<std::uintptr_t>(batch.table()), stride_, rows.data(), count});
  }
  const std::span<const Tensor> made = session.run_tile(offers);
  std::vector<std::pair<const RecordField*, Tensor>> values;  // that are to be copied
  for (std::size_t number = 0; number < fields_.size(); ++number) {
    const RecordField& field = fields_[number];
    const Tensor& value = made[number];
    if (value.dtype != field.dtype || field.axis >= value.rank() ||
        value.elements() != static_cast<std::int64_t>(count * field.elements)) {
      throw OpError(ErrorKind::kShape, "a value that does not fit its record");
    }
    if (value.data == offers[number].data) continue;
    values.emplace_back(&field, session.contiguous(rows_first(value, field.axis)));
  }
  for (std::size_t i = 0; i < count; ++i) {
    std::byte* record = batch.record(begin + i);
    for (const auto& [field, value] : values) {
      const std::byte* from = value.data + i * field->elements * item_size(field->dtype);
      if (!field->codec) {
        std::memcpy(record + field->offset, from, field->size());
      } else if (!encode_row(*field->codec, reinterpret_cast<const float*>(from), field->elements,
                             record + field->offset)) {
        throw OpError(ErrorKind::kShape, "a number that its codec does not have");
      }
    }
    for (const auto& [offset, size] : gaps_) std::memset(record + offset, 0, size);
  }
}

}  // namespace pyrec
