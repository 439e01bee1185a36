// The latent explorer: the generative network of the run, in the page.
//
// Layers are numbered from the image (index 0 is z_1). p(z_i | z_{i+1}) and p(x | z_1) are multilayer perceptrons whose batch
// normalisation was folded into the weights. The state is one z and one noise vector for each layer; z below the chosen layer is
// mean + sqrt(variance) * noise, so that moving a unit changes only what depends on it.
"use strict";
(async () => {
  const root = document.getElementById("explorer");
  const data = JSON.parse(root.querySelector(":scope > script").textContent);
  const depth = data.units.length;
  const [channels, height, width] = data.shape;
  const size = channels * height * width;
  const byId = (id) => document.getElementById(id);

  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const floats = (text) => new Float32Array(bytes(text).buffer);
  const pixels = (text) => Float32Array.from(new Uint16Array(bytes(text).buffer), (value) => value / 65535);
  const inflate = async (text) => {
    const stream = new Blob([bytes(text)]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(stream).arrayBuffer();
  };

  // ---- The network.

  // Each dense layer: scales and biases of its columns as 32-bit floats, then 16-bit weights, padded to four bytes.
  const unpack = (buffer) => {
    let at = 0;
    const dense = ([inputs, outputs]) => {
      const scale = new Float32Array(buffer, at, outputs);
      const bias = new Float32Array(buffer, at + 4 * outputs, outputs);
      const whole = new Int16Array(buffer, at + 8 * outputs, inputs * outputs);
      at = Math.ceil((at + 8 * outputs + 2 * inputs * outputs) / 4) * 4;
      const weight = new Float32Array(inputs * outputs);
      for (let k = 0; k < weight.length; k++) weight[k] = whole[k] * scale[k % outputs];
      return { inputs, outputs, weight, bias };
    };
    return data.networks.map((layers) => layers.map(dense));
  };

  const activate = {
    leaky_relu: (a) => (a > 0 ? a : data.slope * a),
    elu: (a) => (a > 0 ? a : data.slope * Math.expm1(a)),
    tanh: Math.tanh,
    softplus: (a) => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a))),
  }[data.activation];
  const softplus = (a) => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a)));

  const apply = (layer, x) => {
    const out = Float64Array.from(layer.bias);
    for (let row = 0, at = 0; row < layer.inputs; row++, at += layer.outputs) {
      const value = x[row];
      if (value === 0) continue;
      for (let column = 0; column < layer.outputs; column++) out[column] += value * layer.weight[at + column];
    }
    return out;
  };
  const perceptron = (layers, x) => {
    layers.slice(0, -1).forEach((layer) => (x = apply(layer, x).map(activate)));
    return apply(layers[layers.length - 1], x);
  };

  const networks = unpack(await inflate(data.weights));
  // The networks lie from the top down; that of p(z_i | z_{i+1}) for index i - 1:
  const prior = (index, above) => {
    const heads = perceptron(networks[depth - 2 - index], above);
    const units = data.units[index];
    return {
      mean: heads.slice(0, units),
      deviation: heads.slice(units).map((a) => Math.sqrt(softplus(a) + data.floor)),
    };
  };
  const observe = (z) => {
    const out = perceptron(networks[depth - 1], z).slice(0, size);
    return out.map((a) => (data.bernoulli ? 1 / (1 + Math.exp(-a)) : Math.min(1, Math.max(0, a))));
  };
  const sample = ({ mean, deviation }, noise) => mean.map((m, unit) => m + deviation[unit] * noise[unit]);

  // Fills z below `index` (the top is given, or drawn from the standard normal by its noise) and returns the image.
  const descend = (z, noise, index) => {
    for (let below = index - 1; below >= 0; below--) z[below] = sample(prior(below, z[below + 1]), noise[below]);
    return observe(z[0]);
  };
  // An image from noise alone, as `rung sample` makes it.
  const generate = (noise) => {
    const z = noise.map((values) => Float64Array.from(values));
    return { z, image: descend(z, noise, depth - 1) };
  };

  // ---- What travels with the page.

  // [layer][image][unit] in one array, as a list of images, each a list of layers.
  const rows = (values, count) => {
    const images = Array.from({ length: count }, () => []);
    let at = 0;
    for (const units of data.units) {
      for (const image of images) image.push(values.slice(at, (at += units)));
    }
    return images;
  };
  const cut = (values, count) => Array.from({ length: count }, (_, image) => values.slice(image * size, (image + 1) * size));
  const drawnNoise = rows(floats(data.noise), data.drawn);
  const drawnImages = cut(pixels(data.pixels), data.drawn);
  const codes = rows(floats(data.latents), data.codes);
  const originals = cut(pixels(data.originals), data.codes);

  // The noise that leads from each layer of a code to the one below.
  const noiseOf = (code) =>
    code.map((z, index) => {
      if (index === depth - 1) return Float64Array.from(z);
      const { mean, deviation } = prior(index, code[index + 1]);
      return Float64Array.from(z, (value, unit) => (value - mean[unit]) / deviation[unit]);
    });

  // ---- Agreement with the program: the largest difference of a pixel over the images that it drew.
  let worst = 0;
  drawnNoise.forEach((noise, index) => {
    generate(noise).image.forEach((value, at) => (worst = Math.max(worst, Math.abs(value - drawnImages[index][at]))));
  });
  root.dataset.difference = worst;
  byId("ex-agree").textContent =
    `Drawn by your browser. On ${data.drawn} images of rung sample it differs by at most ${worst.toFixed(5)} of the range of a pixel` +
    (worst < 1 / 255 ? ", less than one of 255 grey levels." : ", which is visible: please report it.");

  // ---- The state.

  const gaussian = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
  const fresh = (index) => Float64Array.from({ length: data.units[index] }, gaussian);
  const state = { layer: depth - 1, z: [], noise: [], first: 0, second: Math.min(1, data.codes - 1), means: false };

  const paint = (canvas, image) => {
    canvas.width = width;
    canvas.height = height;
    canvas.getContext("2d").putImageData(picture(image), 0, 0);
  };
  const picture = (image) => {
    const area = height * width, out = new ImageData(width, height);
    for (let at = 0; at < area; at++) {
      for (let channel = 0; channel < 3; channel++) {
        out.data[4 * at + channel] = Math.round(255 * image[(channels === 3 ? channel * area : 0) + at]);
      }
      out.data[4 * at + 3] = 255;
    }
    return out;
  };

  const zeros = data.units.map((units) => new Float64Array(units));
  const redraw = () => {
    const noise = state.means ? zeros : state.noise;
    paint(byId("ex-image"), descend(state.z, noise, state.layer));
  };
  const name = (index) => `z${"₀₁₂₃₄₅₆₇₈₉"[index + 1] ?? index + 1}`;
  // Units by their KL, the largest first, where it is known; else in their own order.
  const order = (index) => {
    const kl = data.kl[index], units = Array.from(state.z[index], (_, unit) => unit);
    return kl ? units.sort((a, b) => (kl[b] ?? -Infinity) - (kl[a] ?? -Infinity)) : units;
  };
  const tellMore = () => {
    const list = byId("ex-sliders"), below = list.scrollHeight - list.clientHeight - list.scrollTop;
    byId("ex-more").textContent = list.scrollHeight <= list.clientHeight ? "" : below > 4 ? "↓ scroll for more units" : "↑ that was the last unit";
  };
  const showSliders = () => {
    const kl = data.kl[state.layer];
    byId("ex-title").textContent = `Units of ${name(state.layer)}` + (kl ? ", by their KL in nats, the largest first" : "");
    const ranges = data.ranges[state.layer];
    const sliders = order(state.layer).map((unit) => {
      const value = state.z[state.layer][unit];
      const label = document.createElement("label"), input = document.createElement("input"), output = document.createElement("output");
      const [mean, deviation] = ranges?.[unit] ?? [0, 1];
      const reach = 3.5 * Math.max(deviation, 0.05);
      Object.assign(input, { type: "range", step: "any", min: Math.min(mean - reach, value), max: Math.max(mean + reach, value) });
      input.value = value;
      const nats = kl?.[unit] == null ? "" : ` · KL ${kl[unit].toFixed(2)}`;
      input.ariaLabel = `unit ${unit + 1} of layer ${state.layer + 1}${nats && `, KL ${kl[unit].toFixed(2)} nats`}`;
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

  const startFromNoise = (noise) => {
    state.noise = noise.map((values) => Float64Array.from(values));
    state.z = generate(state.noise).z;
    refresh();
  };
  const startFromCode = (code) => {
    state.noise = noiseOf(code);
    state.z = code.map((values) => Float64Array.from(values));
    refresh();
  };

  // ---- The controls.

  const press = (holder, index) =>
    [...holder.children].forEach((button, at) => button.setAttribute("aria-pressed", String(at === index)));
  const strip = (id, images, words, choose) => {
    const holder = byId(id);
    images.forEach((image, index) => {
      const button = document.createElement("button"), canvas = document.createElement("canvas");
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
    startFromNoise(drawnNoise[index]);
  });
  const first = strip("ex-codes", originals, "held-out image", (index) => {
    press(drawn, -1);
    press(first, index);
    state.first = index;
    byId("ex-mix").value = 0;
    startFromCode(codes[index]);
    walk();
  });
  const second = strip("ex-second", originals, "second image", (index) => {
    press(second, index);
    state.second = index;
    walk();
    mix(Number(byId("ex-mix").value));
  });

  data.units.forEach((units, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `${name(index)} (${units})`;
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
    startFromNoise(data.units.map((_, index) => fresh(index)));
  });
  byId("ex-above").addEventListener("click", () => {
    for (let index = state.layer; index < depth; index++) state.noise[index] = fresh(index);
    state.z = generate(state.noise).z;
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

  // Between two codes: z of the chosen layer moves in a straight line. So does the noise of the layers below, scaled so that its
  // variance stays that of noise on the way.
  const between = (a, b, share) => {
    const straight = (from, to) => Float64Array.from(from, (value, unit) => (1 - share) * value + share * to[unit]);
    const spread = Math.hypot(1 - share, share);
    const [noiseA, noiseB] = [noiseOf(codes[a]), noiseOf(codes[b])];
    const noise = noiseA.map((from, index) => straight(from, noiseB[index]).map((value) => value / spread));
    const z = codes[a].map((from, index) => straight(from, codes[b][index]));
    return { z, noise };
  };
  const mix = (share) => {
    Object.assign(state, between(state.first, state.second, share));
    press(drawn, -1);
    press(first, state.first);
    refresh();
  };
  const walk = () => {
    if (data.codes === 0) return;
    const canvas = byId("ex-walk"), steps = 11;
    canvas.width = steps * (width + 1) - 1;
    canvas.height = height;
    for (let step = 0; step < steps; step++) {
      const { z, noise } = between(state.first, state.second, step / (steps - 1));
      canvas.getContext("2d").putImageData(picture(descend(z, state.means ? zeros : noise, state.layer)), step * (width + 1), 0);
    }
  };
  byId("ex-mix").addEventListener("input", () => mix(Number(byId("ex-mix").value)));

  if (data.codes === 0) root.querySelectorAll(".ex-codes").forEach((part) => (part.hidden = true));
  press(byId("ex-layers"), state.layer);
  press(drawn, 0);
  press(second, state.second);
  startFromNoise(drawnNoise[0]);
  walk();
  window.rungExplorer = { generate, drawnNoise, descend, codes, noiseOf };
})();
