// The latent explorer: the generative network of the run, in the page.
//
// The network is a list of steps, each of which reads the results of earlier ones: products of
// dense layers and convolutions, functions of each element, and for each group of latents its prior
// ("gaussian") and its sample. Groups are numbered from the image (index 0 is the nearest). A
// result is a map [height, width, channels] in one array, whose last axis varies fastest. The state
// is one z and one noise vector for each group; z below the chosen group is mean + deviation *
// noise, so that moving a unit changes only what depends on it. A model with classes, or with a
// mixture at the top, has one step "choice" too: 1 at the class or component that is chosen.
"use strict";
(async () => {
  const root = document.getElementById("explorer");
  const data = JSON.parse(root.querySelector(":scope > script").textContent);
  const depth = data.units.length;
  // A map of latents has thousands of units: those with the largest KL are what there is to see.
  const SLIDERS = 256;
  const [channels, height, width] = data.shape;
  const size = channels * height * width;
  const byId = (id) => document.getElementById(id);

  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const floats = (text) => new Float32Array(bytes(text).buffer);
  const pixels = (text) =>
    Float32Array.from(new Uint16Array(bytes(text).buffer), (value) => value / 65535);
  const inflate = async (text) => {
    const stream = new Blob([bytes(text)]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(stream).arrayBuffer();
  };
  const pause = () => new Promise((resolve) => setTimeout(resolve));

  // ---- The network.

  // Each layer [rows, columns]: scales and biases of its columns (output channels) as 32-bit
  // floats, then 16-bit weights, padded to four bytes. A row is an input channel, of a convolution
  // one of a tap of the kernel.
  const unpack = (buffer) => {
    let at = 0;
    return data.layers.map(([rows, columns]) => {
      const scale = new Float32Array(buffer, at, columns);
      const bias = new Float32Array(buffer, at + 4 * columns, columns);
      const whole = new Int16Array(buffer, at + 8 * columns, rows * columns);
      at = Math.ceil((at + 8 * columns + 2 * rows * columns) / 4) * 4;
      const weight = new Float32Array(rows * columns);
      for (let k = 0; k < weight.length; k++) weight[k] = whole[k] * scale[k % columns];
      return { weight, bias };
    });
  };
  const layers = unpack(await inflate(data.weights));

  const softplus = (a) => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a)));
  const sigmoid = (a) => 1 / (1 + Math.exp(-a));
  const clamp = (a, least, most) => Math.min(most, Math.max(least, a));

  // out[output ..] += x[input ..] times the rows of the weight from `row` on.
  const multiply = (out, output, columns, x, input, inputs, weight, row) => {
    for (let channel = 0, at = row * columns; channel < inputs; channel++, at += columns) {
      const value = x[input + channel];
      if (value === 0) continue;
      for (let column = 0; column < columns; column++)
        out[output + column] += value * weight[at + column];
    }
  };
  const withBias = ([height, width, channels], bias) => {
    const out = new Float64Array(height * width * channels);
    for (let at = 0; at < out.length; at += channels) out.set(bias, at);
    return out;
  };
  // `pairs` calls back with each position that is read, the one that is written and the tap between
  // them.
  const product = (x, [, width, inputs], step, pairs) => {
    const { weight, bias } = layers[step.layer],
      [, columns, outputs] = step.out;
    const out = withBias(step.out, bias);
    pairs((iy, ix, oy, ox, tap) =>
      multiply(
        out,
        (oy * columns + ox) * outputs,
        outputs,
        x,
        (iy * width + ix) * inputs,
        inputs,
        weight,
        tap * inputs,
      ),
    );
    return out;
  };
  // SAME padding, the smaller half above and on the left. Positions (y, x) of the smaller map and
  // taps reach `stride * y + tap - before` of the larger one.
  const taps = (small, large, { kernel, stride }, each) => {
    const before = [0, 1].map(
      (axis) => Math.max(0, (small[axis] - 1) * stride + kernel - large[axis]) >> 1,
    );
    for (let y = 0; y < small[0]; y++) {
      for (let x = 0; x < small[1]; x++) {
        for (let ky = 0; ky < kernel; ky++) {
          const row = y * stride + ky - before[0];
          if (row < 0 || row >= large[0]) continue;
          for (let kx = 0; kx < kernel; kx++) {
            const column = x * stride + kx - before[1];
            if (column >= 0 && column < large[1]) each(y, x, row, column, ky * kernel + kx);
          }
        }
      }
    }
  };

  const each =
    (map) =>
    (step, [a]) =>
      a.map((value) => map(value, step));
  const pair =
    (map) =>
    (step, [a, b]) =>
      a.map((value, at) => map(value, b[at]));
  // The result of a step, given those that it reads and their shapes.
  const operations = {
    dense: (step, [x], [shape]) => product(x, shape, step, (use) => use(0, 0, 0, 0, 0)),
    convolve: (step, [x], [shape]) =>
      product(x, shape, step, (use) =>
        taps(step.out, shape, step, (y, x, row, column, tap) => use(row, column, y, x, tap)),
      ),
    transposed: (step, [x], [shape]) =>
      product(x, shape, step, (use) => taps(shape, step.out, step, use)),
    leaky_relu: each((a, step) => (a > 0 ? a : step.value * a)),
    elu: each((a, step) => (a > 0 ? a : step.value * Math.expm1(a))),
    tanh: each(Math.tanh),
    sigmoid: each(sigmoid),
    softplus: each(softplus),
    affine: each((a, step) => step.scale * a + step.shift),
    clamp: each((a, step) => clamp(a, -step.value, step.value)),
    add: pair((a, b) => a + b),
    subtract: pair((a, b) => a - b),
    multiply: pair((a, b) => a * b),
    channels: (step, [x], [[, , channels]]) =>
      byPosition(step, (out, position) =>
        out.set(part(x, position, channels, step.value, step.out[2])),
      ),
    widen: (step, [x], [[, , channels]]) =>
      byPosition(step, (out, position) => out.set(part(x, position, channels, 0, channels))),
    spread: (step, [x]) => byPosition(step, (out) => out.set(x)),
    beside: (step, inputs, shapes) =>
      byPosition(step, (out, position) => {
        let at = 0;
        inputs.forEach((x, index) => {
          const channels = shapes[index][2];
          out.set(part(x, position, channels, 0, channels), at);
          at += channels;
        });
      }),
    pool: (step, [x], [[, width, channels]]) =>
      byPosition(step, (out, position) => {
        const side = step.value,
          y = Math.floor(position / step.out[1]) * side,
          left = (position % step.out[1]) * side;
        for (let at = 0; at < side * side; at++) {
          const from = ((y + Math.floor(at / side)) * width + left + (at % side)) * channels;
          for (let channel = 0; channel < channels; channel++)
            out[channel] += x[from + channel] / (side * side);
        }
      }),
  };
  const part = (x, position, channels, first, count) =>
    x.subarray(position * channels + first, position * channels + first + count);
  const byPosition = ({ out: [height, width, channels] }, write) => {
    const out = new Float64Array(height * width * channels);
    for (let position = 0; position < height * width; position++)
      write(part(out, position, channels, 0, channels), position);
    return out;
  };

  const deviations = {
    softplus: (r, floor) => Math.sqrt(softplus(r) + floor),
    exp_softplus: (r, floor) => Math.exp((softplus(r) + floor) / 2),
    binary_softplus: (r, floor) => softplus(r * Math.LN2) / Math.LN2 + floor,
    exp: (r) => Math.exp(r / 2),
  };
  const priorOf = (step, head, channels) => {
    if (step.deviation === "one") return { mean: head, deviation: head.map(() => 1) };
    const half = channels / 2,
      count = head.length / 2,
      at = (unit) => Math.floor(unit / half) * channels + (unit % half);
    return {
      mean: Float64Array.from({ length: count }, (_, unit) => head[at(unit)]),
      deviation: Float64Array.from({ length: count }, (_, unit) =>
        deviations[step.deviation](head[at(unit) + half], step.floor),
      ),
    };
  };

  // Fills z below `index` (the others are given; a group without a prior of its own is from the
  // standard normal) and returns what the last step gives, and each group's prior.
  const run = (z, noise, index, chosen) => {
    const results = [],
      priors = data.units.map(() => undefined);
    for (const step of data.steps) {
      const inputs = step.in.map(([from]) => results[from]),
        shapes = step.in.map(([, shape]) => shape);
      if (step.do === "gaussian") {
        priors[step.group] = priorOf(step, inputs[0], shapes[0][2]);
        results.push(inputs[0]);
      } else if (step.do === "choice") {
        const options = new Float64Array(step.out[2]);
        options[chosen] = 1;
        results.push(options);
      } else if (step.do === "sample") {
        const prior = priors[step.group],
          e = noise?.[step.group];
        if (step.group < index)
          z[step.group] = prior
            ? prior.mean.map((mean, unit) => mean + prior.deviation[unit] * e[unit])
            : Float64Array.from(e);
        results.push(z[step.group]);
      } else {
        results.push(operations[step.do](step, inputs, shapes));
      }
    }
    return { parameters: results[results.length - 1], priors };
  };

  // The mean image, [channel, height, width], of what the last step gives.
  const observe = (parameters) => {
    const area = height * width,
      [rows, columns, per] = data.steps[data.steps.length - 1].out;
    if (data.pixels.are === "means") return parameters.slice(0, size).map((a) => clamp(a, 0, 1));
    const planar = (value) => {
      if (rows * columns === 1) return Float64Array.from({ length: size }, (_, at) => value(0)[at]);
      const out = new Float64Array(size);
      for (let position = 0; position < area; position++)
        value(position).forEach((a, channel) => (out[channel * area + position] = a));
      return out;
    };
    const at = (position) => part(parameters, position, per, 0, per);
    if (data.pixels.are === "logits") return planar((position) => at(position).map(sigmoid));
    // A mixture of logistics: its mean; a colour is conditioned on the means of those before it.
    const count = data.pixels.components;
    return planar((position) => {
      const p = at(position),
        block = (start) => p.subarray(start * count, (start + 1) * count);
      const largest = Math.max(...block(0)),
        shares = block(0).map((a) => Math.exp(a - largest)),
        sum = shares.reduce((a, b) => a + b);
      const mean = (value) =>
        clamp(shares.reduce((total, share, k) => total + share * value(k), 0) / sum, -1, 1);
      const red = mean((k) => block(1)[k]);
      if (channels === 1) return [0.5 + 0.5 * red];
      const green = mean((k) => block(4)[k] + Math.tanh(block(3)[k]) * red);
      const blue = mean(
        (k) => block(7)[k] + Math.tanh(block(6)[k]) * red + Math.tanh(block(9)[k]) * green,
      );
      return [red, green, blue].map((a) => 0.5 + 0.5 * a);
    });
  };

  const descend = (z, noise, index, chosen) => observe(run(z, noise, index, chosen).parameters);
  // An image from noise alone, as `rung sample` makes it.
  const generate = (noise, chosen) => {
    const z = noise.map((values) => Float64Array.from(values));
    return { z, image: descend(z, noise, depth, chosen) };
  };

  // ---- What travels with the page.

  // [group][image][unit] in one array, as a list of images, each a list of groups.
  const rows = (values, count) => {
    const images = Array.from({ length: count }, () => []);
    let at = 0;
    for (const units of data.units) {
      for (const image of images) image.push(values.slice(at, (at += units)));
    }
    return images;
  };
  const cut = (values, count) =>
    Array.from({ length: count }, (_, image) => values.slice(image * size, (image + 1) * size));
  const drawnNoise = rows(floats(data.noise), data.drawn);
  const drawnImages = cut(pixels(data.images), data.drawn);
  const codes = rows(floats(data.latents), data.codes);
  const originals = cut(pixels(data.originals), data.codes);

  // The noise that leads to each group of a code from those above it.
  const noiseOf = (code, chosen) => {
    const z = code.map((values) => Float64Array.from(values)),
      { priors } = run(z, undefined, 0, chosen);
    return z.map((values, index) => {
      const prior = priors[index];
      return prior
        ? values.map((value, unit) => (value - prior.mean[unit]) / prior.deviation[unit])
        : values;
    });
  };
  const chosenOf = (index) => data.choice?.codes[index];
  const codeNoise = [];
  const noiseOfCode = (index) => (codeNoise[index] ??= noiseOf(codes[index], chosenOf(index)));

  // ---- Agreement with the program: the largest difference of a pixel over the images that it
  // drew.
  let worst = 0;
  for (const [index, noise] of drawnNoise.entries()) {
    generate(noise, data.choice?.drawn[index]).image.forEach(
      (value, at) => (worst = Math.max(worst, Math.abs(value - drawnImages[index][at]))),
    );
    await pause();
  }
  root.dataset.difference = worst;
  byId("ex-agree").textContent =
    `Drawn by your browser. On ${data.drawn} images of rung sample it differs by at most ` +
    `${worst.toFixed(5)} of the range of a pixel` +
    (worst < 1 / 255
      ? ", less than one of 255 grey levels."
      : ", which is visible: please report it.");

  // ---- The state.

  const gaussian = () =>
    Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
  const fresh = (index) => Float64Array.from({ length: data.units[index] }, gaussian);
  const state = {
    layer: depth - 1,
    z: [],
    noise: [],
    chosen: data.choice?.drawn[0],
    first: 0,
    second: Math.min(1, data.codes - 1),
    means: false,
  };

  const paint = (canvas, image) => {
    canvas.width = width;
    canvas.height = height;
    canvas.getContext("2d").putImageData(picture(image), 0, 0);
  };
  const picture = (image) => {
    const area = height * width,
      out = new ImageData(width, height);
    for (let at = 0; at < area; at++) {
      for (let channel = 0; channel < 3; channel++) {
        out.data[4 * at + channel] = Math.round(
          255 * image[(channels === 3 ? channel * area : 0) + at],
        );
      }
      out.data[4 * at + 3] = 255;
    }
    return out;
  };

  const zeros = data.units.map((units) => new Float64Array(units));
  const redraw = () => {
    const noise = state.means ? zeros : state.noise;
    paint(byId("ex-image"), descend(state.z, noise, state.layer, state.chosen));
  };
  const name = (index) =>
    data.groups[index].replace(/_(\d+)/, (_, digits) =>
      digits.replace(/\d/g, (digit) => "₀₁₂₃₄₅₆₇₈₉"[digit]),
    );
  // Units by their KL, the largest first, where it is known; else in their own order.
  const order = (index) => {
    const kl = data.kl[index],
      units = Array.from(state.z[index], (_, unit) => unit);
    return kl ? units.sort((a, b) => (kl[b] ?? -Infinity) - (kl[a] ?? -Infinity)) : units;
  };
  const tellMore = () => {
    const list = byId("ex-sliders"),
      below = list.scrollHeight - list.clientHeight - list.scrollTop;
    byId("ex-more").textContent =
      list.scrollHeight <= list.clientHeight
        ? ""
        : below > 4
          ? "↓ scroll for more units"
          : "↑ that was the last unit";
  };
  const showSliders = () => {
    const kl = data.kl[state.layer];
    byId("ex-title").textContent =
      `Units of ${name(state.layer)}` + (kl ? ", by their KL in nats, the largest first" : "");
    const ranges = data.ranges[state.layer];
    const units = order(state.layer).slice(0, SLIDERS);
    if (units.length < data.units[state.layer])
      byId("ex-title").textContent += ` (${units.length} of ${data.units[state.layer]})`;
    const sliders = units.map((unit) => {
      const value = state.z[state.layer][unit];
      const label = document.createElement("label"),
        input = document.createElement("input"),
        output = document.createElement("output");
      const [mean, deviation] = ranges?.[unit] ?? [0, 1];
      const reach = 3.5 * Math.max(deviation, 0.05);
      Object.assign(input, {
        type: "range",
        step: "any",
        min: Math.min(mean - reach, value),
        max: Math.max(mean + reach, value),
      });
      input.value = value;
      const nats = kl?.[unit] == null ? "" : ` · KL ${kl[unit].toFixed(2)}`;
      const spoken = nats && `, KL ${kl[unit].toFixed(2)} nats`;
      input.ariaLabel = `unit ${unit + 1} of ${data.groups[state.layer]}${spoken}`;
      output.textContent = value.toFixed(2);
      input.addEventListener("input", () => {
        state.z[state.layer][unit] = Number(input.value);
        output.textContent = Number(input.value).toFixed(2);
        redraw();
      });
      label.append(`unit ${unit + 1}${nats}`, output, input);
      return label;
    });
    byId("ex-sliders").replaceChildren(...sliders);
    byId("ex-sliders").scrollTop = 0;
    tellMore();
    byId("ex-below").disabled = byId("ex-means").disabled = state.layer === 0;
  };
  byId("ex-sliders").addEventListener("scroll", tellMore);
  const refresh = () => {
    redraw();
    showSliders();
  };

  const choose = (chosen) => {
    state.chosen = chosen;
    if (data.choice) byId("ex-choice").value = chosen;
  };
  const startFromNoise = (noise, chosen) => {
    choose(chosen);
    state.noise = noise.map((values) => Float64Array.from(values));
    state.z = generate(state.noise, chosen).z;
    refresh();
  };
  const startFromCode = (index) => {
    choose(chosenOf(index));
    state.noise = noiseOfCode(index);
    state.z = codes[index].map((values) => Float64Array.from(values));
    refresh();
  };

  // ---- The controls.

  const press = (holder, index) =>
    [...holder.children].forEach((button, at) =>
      button.setAttribute("aria-pressed", String(at === index)),
    );
  const strip = (id, images, words, choose) => {
    const holder = byId(id);
    images.forEach((image, index) => {
      const button = document.createElement("button"),
        canvas = document.createElement("canvas");
      button.type = "button";
      button.setAttribute("aria-label", `${words} ${index + 1}`);
      paint(canvas, image);
      button.append(canvas);
      button.addEventListener("click", () => choose(index));
      holder.append(button);
    });
    return holder;
  };
  const drawn = strip("ex-drawn", drawnImages, "sample", (index) => {
    press(drawn, index);
    press(first, -1);
    startFromNoise(drawnNoise[index], data.choice?.drawn[index]);
  });
  const first = strip("ex-codes", originals, "held-out image", (index) => {
    press(drawn, -1);
    press(first, index);
    state.first = index;
    byId("ex-mix").value = 0;
    startFromCode(index);
    walk();
  });
  const second = strip("ex-second", originals, "second image", (index) => {
    press(second, index);
    state.second = index;
    walk();
    mix(Number(byId("ex-mix").value));
  });

  // A group that no step samples, such as the auxiliary variable of an ADGM, draws nothing.
  const isDrawn = data.units.map((_, index) =>
    data.steps.some((step) => step.do === "sample" && step.group === index),
  );
  data.units.forEach((units, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `${name(index)} (${units})`;
    button.hidden = !isDrawn[index];
    button.addEventListener("click", () => {
      press(byId("ex-layers"), index);
      state.layer = index;
      refresh();
      walk();
    });
    byId("ex-layers").append(button);
  });
  byId("ex-all").addEventListener("click", () => {
    press(drawn, -1);
    press(first, -1);
    startFromNoise(
      data.units.map((_, index) => fresh(index)),
      state.chosen,
    );
  });
  byId("ex-above").addEventListener("click", () => {
    for (let index = state.layer; index < depth; index++) state.noise[index] = fresh(index);
    state.z = generate(state.noise, state.chosen).z;
    refresh();
  });
  byId("ex-below").addEventListener("click", () => {
    for (let index = 0; index < state.layer; index++) state.noise[index] = fresh(index);
    refresh();
  });
  byId("ex-means").addEventListener("click", () => {
    state.means = !state.means;
    byId("ex-means").setAttribute("aria-pressed", String(state.means));
    refresh();
  });

  // Another class: the latents from the chosen layer up stay, those below follow. Another component
  // is another prior of the top: all follow from their noise.
  const choice = byId("ex-choice");
  if (data.choice) {
    const { name, options } = data.choice;
    byId("ex-choice-name").textContent = name;
    for (let option = 0; option < options; option++)
      choice.add(new Option(`${name} ${option}`, option));
    choice.addEventListener("input", () => {
      state.chosen = Number(choice.value);
      if (name === "component") state.z = generate(state.noise, state.chosen).z;
      refresh();
    });
  } else {
    root.querySelector(".ex-choice").hidden = true;
  }

  // Between two codes: z of the chosen layer moves in a straight line. So does the noise of the
  // layers below, scaled so that its variance stays that of noise on the way.
  const between = (a, b, share) => {
    const straight = (from, to) =>
      Float64Array.from(from, (value, unit) => (1 - share) * value + share * to[unit]);
    const spread = Math.hypot(1 - share, share);
    const [noiseA, noiseB] = [noiseOfCode(a), noiseOfCode(b)];
    const noise = noiseA.map((from, index) =>
      straight(from, noiseB[index]).map((value) => value / spread),
    );
    const z = codes[a].map((from, index) => straight(from, codes[b][index]));
    return { z, noise, chosen: chosenOf(share < 0.5 ? a : b) };
  };
  const mix = (share) => {
    Object.assign(state, between(state.first, state.second, share));
    choose(state.chosen);
    press(drawn, -1);
    press(first, state.first);
    refresh();
  };
  let walks = 0;
  const walk = async () => {
    if (data.codes === 0) return;
    const mine = ++walks;
    const canvas = byId("ex-walk"),
      steps = 11;
    canvas.width = steps * (width + 1) - 1;
    canvas.height = height;
    for (let step = 0; step < steps; step++) {
      await pause();
      if (mine !== walks) return;
      const { z, noise, chosen } = between(state.first, state.second, step / (steps - 1));
      canvas
        .getContext("2d")
        .putImageData(
          picture(descend(z, state.means ? zeros : noise, state.layer, chosen)),
          step * (width + 1),
          0,
        );
    }
  };
  byId("ex-mix").addEventListener("input", () => mix(Number(byId("ex-mix").value)));

  if (data.codes === 0) root.querySelectorAll(".ex-codes").forEach((part) => (part.hidden = true));
  press(byId("ex-layers"), state.layer);
  press(drawn, 0);
  press(second, state.second);
  startFromNoise(drawnNoise[0], data.choice?.drawn[0]);
  await walk();
  window.rungExplorer = { generate, drawnNoise, descend, codes, noiseOf, choice: data.choice };
})();
